// Package telemetry sets OpenTelemetry up and carries a trace across the mesh's borders: through NATS headers,
// through the write-ahead log, and from an intent recorded before a call to the webhook that confirms it.
//
// Services make their own spans and instruments with the otel API; how contexts travel and where signals go is
// decided here only.
package telemetry
