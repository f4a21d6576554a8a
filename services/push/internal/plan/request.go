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

// resolve returns the state that desired state and policy ask for, and the calls that lead to it. The parts that Stripe
// refused in this pass are left out.
func (p *Planner) resolve(req Request, observed *catalogv1.Observed) (effective *catalogv1.ProductChange,
	steps []catalog.Step,
) {
	r := catalog.Resolve(p.Policy, req.Change, observed, req.Exceptions)
	return r.Effective, req.Keys.filter(req.Skips.filter(r.Steps(observed), observed), observed)
}

func (p *Planner) steps(req Request, observed *catalogv1.Observed) []catalog.Step {
	_, steps := p.resolve(req, observed)
	return steps
}
