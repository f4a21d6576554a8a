// Package stripeapi is the edge to Stripe, on stripe-go: it paces calls, makes catalog.Step into requests, reads
// answers from Stripe's raw JSON (stripe-go's own types lose nulls and digits), and says once, in one table, what
// each kind of failure means. Push and pull use it and nobody else does; it holds no state but its pace.
package stripeapi
