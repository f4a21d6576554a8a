// Package telemetry sets OpenTelemetry up and propagates traces across the mesh: through NATS headers, through the
// write-ahead log, and from an intent recorded before a call to the webhook that confirms it.
//
// Services create their spans and instruments with the otel API. Only this package decides how contexts are propagated
// and where signals go.
package telemetry
