// Package probe asks the servers that package doctor judges: Postgres, NATS, Stripe and the services. It changes
// nothing there.
package probe
