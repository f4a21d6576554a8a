// Package catalog is the pure core: products and prices, what Stripe demands of them, and Diff, the one function
// that says which calls would make what Stripe holds equal to what the catalog wants. Push applies its steps,
// reconciliation calls a product drifted when there are some, and `driftless plan` prints them.
//
// Nothing here does input or output, reads a clock, or knows of contexts, messages or databases. It imports
// nothing of Driftless's but the contracts.
package catalog
