// Package stripeids maintains the table driftless.stripe_ids in the catalog database, from which applications read
// Stripe's ids of products and prices. On request it also writes them to columns of the operator's own tables.
//
// It follows the bucket OBSERVED by its revisions. The position is stored in the transaction that writes the rows, and
// each product keeps the revision of its rows. So a state is written once, a state that is read again or late changes
// nothing, and several processes may do it at the same time. A consumer of JetStream could not do that: it acknowledges
// after the commit, and while the table is switched off its backlog would count as work that is not done.
package stripeids
