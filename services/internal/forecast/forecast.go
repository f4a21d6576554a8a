package forecast

import (
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/guard"
)

// Change is a product before and after a change that is not captured yet.
type Change struct {
	ProductID string
	// Before and After are the states that ingestion would publish. Their versions do not matter.
	Before, After *catalogv1.ProductChange
	// RefusedBefore and Refused say why ingestion would not publish the states. Push then applies the latest state that
	// was captured.
	RefusedBefore, Refused string
	// Differs reports whether the two states differ. If not, another policy may still change the product.
	Differs bool
	// Known is what the ledger knows about the product. It may be nil.
	Known *controlv1.ProductDetail
}

// Product is what push would do about a product.
type Product struct {
	*controlv1.ProductPlan

	// Earlier reports whether Stripe differs from the state before, so that push has something to do without the
	// change.
	Earlier bool
	// Prices are the prices that get another amount.
	Prices []PriceChange
}

// IsHeld reports whether the guard would hold the change.
func (p Product) IsHeld() bool { return len(p.GetHold().GetFindings()) > 0 }

// Forecaster forecasts changes one after the other, as if push made them in this order. Not safe for concurrent use.
type Forecaster struct {
	// Policy is the present policy, and Changed the one after the change.
	Policy, Changed *catalog.Policy
	Guard           guard.Config
	// HoldCreations reports whether push creates nothing that Stripe lacks.
	HoldCreations bool
	// Record is the account's record of the guard. Forecast counts in it.
	Record *meshv1.Guard
	// Totals reads what is active in Stripe. It is called at most once, and only if a share decides.
	Totals func() (*guard.Totals, error)
	Now    time.Time

	totals *guard.Totals
}

// Forecast returns what push would do about a change. ok is false if it would do nothing that it would not do without
// the change.
func (f *Forecaster) Forecast(c Change) (out Product, ok bool, err error) {
	observed := c.Known.GetObserved()
	if observed == nil {
		observed = &catalogv1.Observed{ProductId: c.ProductID}
	}
	before, after := f.versions(published(c))
	was := f.resolve(f.Policy, before, observed)
	out = Product{
		ProductPlan: &controlv1.ProductPlan{
			ProductId: c.ProductID, State: c.Known.GetState(), Refused: c.Refused,
		},
		Earlier: len(was.steps) > 0,
	}
	is := f.resolve(f.Changed, after, observed)
	switch {
	case c.Refused != "" && is.equals(was):
		// Push does nothing that it would not do without the change.
		return out, c.Differs, nil
	case !c.Differs && is.equals(was), len(is.steps) == 0 && len(is.decisions) == 0 && len(was.steps) == 0:
		return out, c.Refused != "" && c.Differs, nil
	}
	out.Steps, out.Changes = Steps(is.steps), Changes(catalog.Outline(is.effective, is.observed))
	out.Prices = priceChanges(is, observed)
	for _, d := range is.decisions {
		switch d.Action {
		case catalog.WriteBack:
			out.WriteBacks = append(out.WriteBacks, Difference(d.Difference, d.Action))
		case catalog.Report:
			out.Drift = append(out.Drift, &controlv1.Drift{
				ProductId: c.ProductID, Difference: Difference(d.Difference, d.Action), State: "found",
			})
		case catalog.Repair:
		}
	}
	err = f.judge(&out, is, observed)
	out.addRules()
	return out, true, err
}

// published returns a change with the states that push gets. In place of one that is refused it is the one before.
func published(c Change) Change {
	if c.RefusedBefore != "" {
		c.Before = c.Known.GetDesired()
	}
	if c.Before == nil {
		c.Before = &catalogv1.ProductChange{ProductId: c.ProductID, Operation: catalogv1.Operation_OPERATION_DELETE}
	}
	if c.Refused != "" {
		c.After, c.Differs = c.Before, false
	}
	return c
}

// versions returns the states with versions in their order, behind what was captured.
func (f *Forecaster) versions(c Change) (before, after *catalogv1.ProductChange) {
	captured := c.Known.GetDesired()
	before, after = proto.CloneOf(c.Before), proto.CloneOf(c.After)
	before.Version = max(captured.GetVersion(), c.Known.GetObserved().GetVersion())
	before.CommittedAt, before.CapturedAt = captured.GetCommittedAt(), captured.GetCapturedAt()
	if !isSame(before, captured) {
		before.Version++
		before.CommittedAt, before.CapturedAt = timestamppb.New(f.Now), nil
	}
	after.Version, after.CommittedAt, after.CapturedAt = before.GetVersion(), before.GetCommittedAt(),
		before.GetCapturedAt()
	if c.Differs {
		after.Version++
		after.CommittedAt, after.CapturedAt = timestamppb.New(f.Now), nil
	}
	return before, after
}

// isSame reports whether two states want the same.
func isSame(a, b *catalogv1.ProductChange) bool {
	return a.GetOperation() == b.GetOperation() && proto.Equal(a.GetProduct(), b.GetProduct()) &&
		slices.Equal(a.GetUnmanagedFields(), b.GetUnmanagedFields()) &&
		proto.Equal(a.GetArchiveAfter(), b.GetArchiveAfter()) &&
		slices.EqualFunc(a.GetViolations(), b.GetViolations(), func(x, y *catalogv1.CheckViolation) bool {
			return proto.Equal(x, y)
		})
}

// resolved is what a policy makes of a state.
type resolved struct {
	effective *catalogv1.ProductChange
	// observed is Stripe's state with the overlaps that begin or end.
	observed  *catalogv1.Observed
	decisions []catalog.Decision
	steps     []catalog.Step
}

func (f *Forecaster) resolve(p *catalog.Policy, desired *catalogv1.ProductChange, observed *catalogv1.Observed,
) resolved {
	if desired.GetProduct() == nil && observed.GetProduct() == nil {
		return resolved{effective: desired, observed: observed}
	}
	r, then := catalog.ResolveAt(p, desired, observed, catalog.Exceptions{}, f.Now)
	out := resolved{effective: r.Effective, observed: then, steps: r.Steps(then)}
	for _, d := range r.Decisions {
		if d.Action != catalog.Repair {
			out.decisions = append(out.decisions, d)
		}
	}
	return out
}

// equals reports whether two policies lead to the same.
func (r resolved) equals(other resolved) bool {
	return slices.EqualFunc(r.steps, other.steps, func(a, b catalog.Step) bool {
		return a.String() == b.String() && slices.Equal(a.Params, b.Params)
	}) && slices.Equal(r.decisions, other.decisions)
}

// whyNotCreated is why push would not create a product or price.
const whyNotCreated = "would not be created because push_create is off: adopt the products that Stripe already holds"

// judge adds what holds the change. It asks the guard as push does: first the rules that look at the product, then
// those that count.
func (f *Forecaster) judge(out *Product, is resolved, observed *catalogv1.Observed) error {
	if len(is.steps) == 0 {
		guard.Release(f.Record, out.GetProductId())
		return nil
	}
	creates := slices.ContainsFunc(is.steps, func(s catalog.Step) bool {
		return s.Kind == catalog.CreateProduct || s.Kind == catalog.CreatePrice
	})
	if f.HoldCreations && creates && !catalog.IsManaged(observed) {
		out.Waiting = whyNotCreated
		return nil
	}
	report := guard.Inspect(f.Guard, guard.Change{
		Observed: observed, Desired: is.effective, Steps: is.steps, After: is.observed,
	})
	report.Counted.Product = out.GetProductId()
	findings := guard.Judge(f.Record, report, is.effective.GetViolations(), f.Now)
	if len(findings) == 0 {
		var totals *guard.Totals
		if guard.NeedsTotals(f.Record, f.Guard, report.Counted, f.Now) {
			if f.totals == nil {
				var err error
				if f.totals, err = f.Totals(); err != nil {
					return err
				}
			}
			totals = f.totals
		}
		findings = guard.Admit(f.Record, f.Guard, report.Counted, totals, f.Now)
	} else {
		guard.Release(f.Record, out.GetProductId())
	}
	if len(findings) == 0 {
		return nil
	}
	out.Held, out.Hold = true, &catalogv1.Hold{}
	for _, x := range findings {
		out.Hold.Findings = append(out.Hold.Findings, &catalogv1.Finding{
			Rule: string(x.Rule), PriceId: x.Price, Before: x.Before, After: x.After, Message: x.Message,
		})
	}
	return nil
}
