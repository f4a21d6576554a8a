// Package plan decides what push does about a product. It is pure: it does no I/O and has no clock, so the same input
// always has the same result. Package push reads, asks this package, and does what it says:
//
//	Decide    request, observed state               -> nothing to do, a reread, or a Plan and what the rules found
//	Judge     decision, counts of the account       -> why the guard holds the plan, or nothing
//	Hold      decision, findings                    -> the observed state of a held product
//	Record    observed state now, results of calls  -> the next observed state
//	Conclude  recorded state, results of calls      -> finished, another round, or a failure
//
// A Plan has the state to store before its first call: with the claim, and with an intent and an idempotency key for
// each call. So the outcome of every call is known in the end, even if processes die in between.
package plan
