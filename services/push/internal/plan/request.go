package plan

import (
	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// Request asks for a product to be synced with a desired state.
type Request struct {
	Change *catalogv1.ProductChange
	// Reread reads the product from Stripe before the calls are planned.
	Reread bool
	// Force plans even if the version was applied before.
	Force bool
	// Redelivered reports whether an earlier attempt may have applied the version and died before it published the
	// outcome.
	Redelivered bool
	// Traceparent is the trace of the pass. Stripe's events about its calls continue it.
	Traceparent string
	// Exceptions are exceptions from the policy.
	Exceptions catalog.Exceptions
	// LaterRound reports whether this is a later round of the pass.
	LaterRound bool
	// Adopted reports whether an operator has adopted the product. Its missing prices may then be created.
	Adopted bool
	// Skips are the parts that Stripe has refused in this pass. Nil skips nothing.
	Skips *Skips
	// Keys are the lookup keys whose owners the pass has read from Stripe. Nil leaves every key in its call.
	Keys *LookupKeys
}

// IsComplete reports whether the whole desired state is applied once the pass has nothing left to do.
func (r Request) IsComplete() bool {
	return r.Skips.isEmpty() && !r.Keys.leavesOut()
}

// Planner has the settings that decisions depend on. All its methods are safe for concurrent use.
type Planner struct {
	Account string
	// Holder identifies this process in claims.
	Holder string
	// Policy decides which of Stripe's values stay. Nil means that the catalog owns every field.
	Policy *catalog.Policy
	// HoldCreations holds the creation of products and prices of products that Driftless has not written yet.
	HoldCreations bool
}

// steps returns the calls that desired state and policy ask for, without the parts that Stripe refused in this pass.
func (p *Planner) steps(req Request, observed *catalogv1.Observed) []catalog.Step {
	steps := catalog.Resolve(p.Policy, req.Change, observed, req.Exceptions).Steps(observed)
	return req.Keys.filter(req.Skips.filter(steps, observed), observed)
}
