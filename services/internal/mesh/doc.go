// Package mesh is the transport between the services, on NATS JetStream: it connects, publishes, consumes, retries and
// dead-letters, signs messages and checks signatures. Package state has the records that services share on it. Package
// topology names the streams, subjects, durable consumers and buckets.
//
// It knows the messages' envelopes but not what they mean: nothing in it compares catalogs with Stripe, or accesses
// either. It imports no service.
package mesh
