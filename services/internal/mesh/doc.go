// Package mesh is how the services talk: the JetStream topology, and publishing, consuming, claiming and
// dead-lettering on it. Every stream, subject, durable consumer and bucket is named here and nowhere else.
//
// It knows the messages' envelopes but not what they mean: nothing in it compares catalogs with Stripe, and it
// touches neither. It imports no service.
package mesh
