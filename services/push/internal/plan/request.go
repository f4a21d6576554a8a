package plan

import (
	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/guard"
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
	// Repeated reports whether an earlier attempt may have recorded a hold and died before it published the outcome.
	Repeated bool
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
	// Guard has the rules on dangerous changes. The zero value switches all of them off.
	Guard guard.Config
}

// steps returns the calls that lead from the observed state to the one that desired state and policy ask for.
func (p *Planner) steps(req Request, observed *catalogv1.Observed) []catalog.Step {
	return req.filter(catalog.Resolve(p.Policy, req.Change, observed, req.Exceptions).Steps(observed), observed)
}

// filter leaves out the parts of the steps that Stripe refused in this pass, and the lookup keys that stay with their
// owners.
func (r Request) filter(steps []catalog.Step, observed *catalogv1.Observed) []catalog.Step {
	return r.Keys.filter(r.Skips.filter(steps, observed), observed)
}
