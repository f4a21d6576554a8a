// Package catalogtest is for tests of what is built on catalog: a model of Stripe in memory that refuses what
// Stripe refuses, and generators of products, of desired states and of what people do in Stripe's dashboard.
//
// The model knows Stripe's rules on products and prices and nothing of catalog's: it reads the parameters of a
// call by themselves. It has no clock, no network and no idempotency keys; package stripesim has those.
package catalogtest
