// Package mesh is the services' transport on JetStream: it publishes, consumes, retries and dead-letters messages, signs
// them and checks signatures. It also holds the typed records on key-value buckets. Names are in package topology.
//
// It knows the messages' envelopes, but it does not compare catalogs with Stripe, and it touches neither. It imports no
// service.
package mesh
