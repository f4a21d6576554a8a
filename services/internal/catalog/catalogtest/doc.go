// Package catalogtest supports tests of packages that build on catalog. It has a model of Stripe in memory, which
// refuses what Stripe refuses. It also has generators of products, of desired states and of edits in Stripe's
// dashboard.
//
// The model knows Stripe's rules for products and prices, and nothing of catalog's code: it parses the parameters of a
// call itself. It has no clock, no network and no idempotency keys; package stripesim has those.
package catalogtest
