package plan

import (
	"net/http"
	"slices"

	"github.com/stripe/stripe-go/v76"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
)

// Next is what follows a round.
type Next int

const (
	// Finish: nothing is left to do.
	Finish Next = iota
	// Again: Stripe holds something else than was recorded. Another round, after a reread, may succeed.
	Again
	// Refused: Stripe will never accept the failed call.
	Refused
	// Different: Stripe accepted every call, and still holds other values.
	Different
	// Fail: the failed call may succeed later.
	Fail
	// Held: the guard holds what is left to do.
	Held
)

// Conclusion is what follows from the recorded results of a round. The zero value is a round without calls.
type Conclusion struct {
	Next Next
	// Failed is the call that failed, if one did. Done is the number of calls that succeeded, and Of that of all.
	Failed   *Failed
	Done, Of int
	// IsReserved reports whether Stripe neither holds nor creates the product, because it reserves the ids of deleted
	// products. Then another round hardly helps.
	IsReserved bool
	// Left are the steps that a Different product still needs.
	Left []catalog.Step
	// Publish reports whether the version is applied in full, so that its outcome is published.
	Publish bool
}

// Conclude returns what follows from the results of a plan's calls. stored is the state that Record made of them.
func (p *Planner) Conclude(req Request, pl *Plan, stored *catalogv1.Observed, r Results) Conclusion {
	c := Conclusion{Failed: r.Failed, Done: len(r.Done), Of: len(pl.Calls)}
	if r.Failed != nil {
		c.IsReserved = isReserved(pl, r.Failed)
		c.Next = afterFailure(req, pl, r.Failed, c.IsReserved)
		return c
	}
	if stored.GetStale() {
		c.Next = Again
		return c
	}
	// Other remaining steps come from changes that others made and that no event has reported yet. The ledger detects
	// those as drift.
	if c.Left = p.repeated(req, stored, r); len(c.Left) > 0 {
		c.Next = Different
		return c
	}
	c.Publish = req.IsComplete()
	return c
}

func afterFailure(req Request, pl *Plan, f *Failed, isReserved bool) Next {
	switch {
	case isReserved, f.Action == stripeapi.RereadFirst && f.Status < http.StatusInternalServerError:
		return Again
	case f.Action == stripeapi.Refuse && !pl.Reread && !req.Keys.NeedsOwner(f):
		// The call may rest on an outdated observed state, so a refusal counts only after a reread.
		return Again
	case f.Action == stripeapi.Refuse:
		return Refused
	default:
		return Fail
	}
}

// isReserved reports whether Stripe says that a product exists that a reread has not found.
func isReserved(pl *Plan, f *Failed) bool {
	return f.Kind == catalog.CreateProduct && f.Code == string(stripe.ErrorCodeResourceAlreadyExists) &&
		pl.Reread && pl.Base.GetProduct() == nil
}

// repeated returns the steps still needed that set what one of the calls has just set.
func (p *Planner) repeated(req Request, o *catalogv1.Observed, r Results) []catalog.Step {
	return slices.DeleteFunc(slices.Clone(p.steps(req, o)), func(left catalog.Step) bool {
		return !slices.ContainsFunc(r.Done, func(d Done) bool { return repeats(left, d.Step) })
	})
}

// repeats reports whether a step sets again what another one, about the same object, has set.
func repeats(left, done catalog.Step) bool {
	if left.Kind != done.Kind || left.PriceID != done.PriceID || left.StripePriceID != done.StripePriceID {
		return false
	}
	if left.Kind == catalog.CreateProduct || left.Kind == catalog.CreatePrice {
		return true
	}
	return slices.ContainsFunc(left.Params, func(param catalog.Param) bool {
		value, ok := done.Param(param.Name)
		return ok && value == param.Value
	})
}
