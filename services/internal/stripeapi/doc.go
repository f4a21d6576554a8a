// Package stripeapi is the edge to Stripe, on stripe-go. It paces calls and turns each catalog.Step into a request. It
// reads answers from Stripe's raw JSON, because stripe-go's own types lose nulls and digits. One table says what each
// kind of failure means. Only push and pull use it. It holds no state but its pace.
package stripeapi
