// Package catalog is the core of Driftless. It has products and prices, Stripe's rules for them, and Diff. Diff is
// the one function that computes the calls that make the state in Stripe equal to the catalog. Push applies its steps.
// Reconciliation calls a product drifted when there are some. `driftless plan` prints them.
//
// Resolve applies a policy before Diff: it decides which differences are repaired, written back or only reported.
//
// Nothing here does I/O, reads a clock, or knows about contexts, messages or databases. The package imports nothing of
// Driftless except the contracts.
package catalog
