package push

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/guard"
	"github.com/driftless-sync/driftless/services/internal/metrics"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
	"github.com/driftless-sync/driftless/services/push/internal/plan"
)

// totalsInterval is how long totals are reused. They take a read of all observed states.
const totalsInterval = 10 * time.Minute

// guardRecord is this process's part in the account's record of the guard.
type guardRecord struct {
	// mu keeps the passes of this process from losing the record's compare-and-set to each other.
	mu      sync.Mutex
	totals  *guard.Totals
	totaled time.Time
}

// judge asks the guard about a plan, and counts the plan if it may be made. It returns why the plan is held.
func (p *pusher) judge(ctx context.Context, d plan.Decision) (findings []guard.Finding, err error) {
	if d.NeedsGuard() {
		if err := p.updateGuard(ctx, func(record *meshv1.Guard) error {
			var totals *guard.Totals
			if p.planner.NeedsTotals(d, record) {
				if totals, err = p.guardTotals(ctx, record, d.Plan.At); err != nil {
					return err
				}
			}
			findings = p.planner.Judge(d, record, totals)
			return nil
		}); err != nil {
			return nil, err
		}
	}
	return findings, nil
}

// unlist takes a product off the guard's lists. A conflict kept its hold from being stored.
func (p *pusher) unlist(ctx context.Context, product string) error {
	return p.updateGuard(ctx, func(record *meshv1.Guard) error {
		guard.Release(record, product)
		return nil
	})
}

// storePlan stores the state of a plan that the guard lets pass. If that ends a hold, the state says so until the
// outcome is published: a process that dies in between leaves it to the next pass.
func (p *pusher) storePlan(ctx context.Context, d plan.Decision, revision uint64) (uint64, error) {
	p.planner.Release(d)
	revision, err := p.stores.Observed().Put(ctx, d.Plan.State, revision)
	if err != nil {
		return revision, err
	}
	if d.Action == plan.Call {
		// The record of the calls removes it.
		return revision, p.publishStoredRelease(ctx, d.Plan.State)
	}
	return revision, p.endRelease(ctx, d.Plan.State)
}

// publishStoredRelease publishes the end of a hold that is stored in a state, if there is one.
func (p *pusher) publishStoredRelease(ctx context.Context, o *catalogv1.Observed) error {
	if o.GetReleased() == nil {
		return nil
	}
	return p.publishReleased(ctx, o.GetProductId(), o.GetReleased())
}

// endRelease publishes the end of a hold that is stored in a state, if there is one, and removes it from the state.
func (p *pusher) endRelease(ctx context.Context, o *catalogv1.Observed) error {
	if o.GetReleased() == nil {
		return nil
	}
	if err := p.publishStoredRelease(ctx, o); err != nil {
		return err
	}
	_, err := p.stores.Observed().Update(ctx, p.account, o.GetProductId(), func(stored *catalogv1.Observed) error {
		if !proto.Equal(stored.GetReleased(), o.GetReleased()) {
			return state.ErrNoChange
		}
		stored.Released = nil
		return nil
	})
	return err
}

// updateGuard edits the account's record of the guard. edit is called again if another process wrote in between.
func (p *pusher) updateGuard(ctx context.Context, edit func(*meshv1.Guard) error) error {
	p.guardRecord.mu.Lock()
	defer p.guardRecord.mu.Unlock()
	for {
		record := &meshv1.Guard{}
		revision, err := p.stores.Guard(p.account).GetAt(ctx, record)
		if err != nil {
			return err
		}
		before := proto.CloneOf(record)
		if err := edit(record); err != nil {
			return err
		}
		if proto.Equal(before, record) {
			return nil
		}
		if _, err = p.stores.Guard(p.account).CompareAndPut(ctx, record, revision); !errors.Is(err, state.ErrConflict) {
			return err
		}
	}
}

// guardTotals returns the totals of the account. The caller holds the lock of guardRecord.
func (p *pusher) guardTotals(ctx context.Context, record *meshv1.Guard, now time.Time) (*guard.Totals, error) {
	g := &p.guardRecord
	if g.totals != nil && now.Sub(g.totaled) < totalsInterval {
		return g.totals, nil
	}
	totals := guard.NewTotals(record, now)
	for observed, err := range p.eachObserved(ctx) {
		if err != nil {
			return nil, fmt.Errorf("count the products and prices in Stripe: %w", err)
		}
		totals.Add(observed)
	}
	g.totals, g.totaled = totals, now
	return totals, nil
}

// eachObserved reads the observed state of every product of the account. It skips those that cannot be decoded.
func (p *pusher) eachObserved(ctx context.Context) func(yield func(*catalogv1.Observed, error) bool) {
	return func(yield func(*catalogv1.Observed, error) bool) {
		latest, err := p.stores.Observed().Revision(ctx)
		if err != nil {
			yield(nil, err)
			return
		}
		for entry, err := range p.stores.Observed().Range(ctx, p.account, 1, latest) {
			if entry.Undecodable != nil {
				p.logger.ErrorContext(ctx, "the guard skipped a product", "product", entry.Observed.GetProductId(),
					"error", entry.Undecodable)
				continue
			}
			if !yield(entry.Observed, err) {
				return
			}
		}
	}
}

// hold records that the guard holds a plan, and publishes it once for each version and set of rules. It returns
// state.ErrConflict if another process has written the product since it was read.
func (p *pusher) hold(ctx context.Context, req plan.Request, d plan.Decision, revision uint64,
	findings []guard.Finding,
) error {
	held, isNew := plan.Hold(req, d, findings)
	if d.Plan.Reread || !proto.Equal(held, d.Observed) {
		if _, err := p.stores.Observed().Put(ctx, held, revision); err != nil {
			return err
		}
	}
	traceHold(ctx, held.GetHold())
	if isNew {
		for _, f := range findings {
			metrics.GuardFindings.Add(ctx, 1, metrics.GuardRule.With(string(f.Rule.Kind())))
		}
		p.logger.WarnContext(ctx, "the guard holds a change until it is approved or the catalog is corrected",
			"product", held.GetProductId(), "version", held.GetHold().GetVersion(),
			"rules", plan.HeldBy(held.GetHold()), "why", plan.DescribeHold(held.GetHold()))
	}
	if isNew || req.Redelivered || req.Repeated {
		return p.publishHeld(ctx, req.Change, held.GetHold())
	}
	return nil
}

// traceHold sets on the span of ctx why a change is held.
func traceHold(ctx context.Context, hold *catalogv1.Hold) {
	span := trace.SpanFromContext(ctx)
	setOutcome(ctx, telemetry.OutcomeHeld)
	span.SetAttributes(telemetry.GuardRulesKey.StringSlice(plan.HeldBy(hold)))
	for _, f := range hold.GetFindings() {
		span.AddEvent("held by the guard", trace.WithAttributes(
			telemetry.GuardRulesKey.StringSlice([]string{f.GetRule()}),
			telemetry.GuardFindingKey.String(f.GetMessage())))
	}
}
