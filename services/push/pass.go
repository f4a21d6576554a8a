package push

import (
	"context"
	"errors"
	"fmt"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/metrics"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
	"github.com/driftless-sync/driftless/services/push/internal/plan"
)

var (
	// errBusy means that another process, or another message in this process, is syncing the product.
	errBusy = errors.New("the product is claimed")
	// errChangedMeanwhile means that the product was written, and something else changed it in Stripe at the same time.
	errChangedMeanwhile = errors.New("the product changed in Stripe while it was being written")
	// errOutdated means that the desired state that was read is older than the one applied last.
	errOutdated = errors.New("a later state of the product was applied than the one read from CATALOG")
	// errLostClaim means that the pass took too long and another process has claimed the product.
	errLostClaim = errors.New("the claim on the product expired and another process took over")
)

// maxRounds is how many rounds in a row a pass makes before it leaves the product to a later delivery.
const maxRounds = 3

// maxClaims is how often a round tries to store its claim while others write the product's entry.
const maxClaims = 5

// pass makes a product equal to a desired state, in rounds of claim, call and record. It handles at once what it can
// detect at once, because a redelivery would be slower: the product existed already, it changed during the pass, or
// Stripe refused a part and accepts the rest. A pass after which a part stays refused returns a refusedError.
func (p *pusher) pass(ctx context.Context, req plan.Request) (err error) {
	product := req.Change.GetProductId()
	unlock, ok := p.lock(ctx, product)
	if !ok {
		return errBusy
	}
	defer unlock()
	ctx = telemetry.ContextAbout(ctx, telemetry.About{
		Account: p.account,
		Product: product,
		Version: req.Change.GetVersion(),
	})
	ctx, span := startSpan(ctx, "sync product")
	defer func() { endSpan(span, err) }()
	req.Traceparent = telemetry.Traceparent(ctx)
	req.Skips, req.Keys = &plan.Skips{}, plan.NewLookupKeys()

	var refused *refusedError
	for rounds := 1; ; rounds++ {
		c, err := p.round(ctx, req)
		if err != nil {
			return refused.with(err)
		}
		switch c.Next {
		case plan.Finish:
			return refused.withRestApplied()
		case plan.Held:
			return refused.withRestHeld()
		case plan.Again:
			if rounds == maxRounds {
				return refused.with(p.roundsError(req.Change, c))
			}
			req.Reread, req.LaterRound = true, true
		case plan.Refused:
			// The next rounds leave out what was refused, and start from what is known.
			if refused, err = p.leaveOut(ctx, req, c.Failed, refused); err != nil {
				return err
			}
			req.Reread, req.LaterRound, rounds = false, true, 0
		case plan.Different:
			return refused.with(p.notConverging(req.Change, c.Left))
		case plan.Fail:
			return p.callError(req.Change, c)
		}
	}
}

// round plans once and makes the calls of the plan: claim, call, record.
func (p *pusher) round(ctx context.Context, req plan.Request) (plan.Conclusion, error) {
	claimed, next, err := p.claim(ctx, req)
	if req.LaterRound && errors.Is(err, errBusy) {
		err = fmt.Errorf("while it was being synced: %w", err)
	}
	if err != nil || claimed == nil {
		return plan.Conclusion{Next: next}, err
	}
	results := p.call(ctx, claimed)
	stored, err := p.record(ctx, req, claimed, results)
	if err != nil {
		return plan.Conclusion{}, err
	}
	c := p.planner.Conclude(req, claimed.Plan, stored, results)
	if c.Failed != nil {
		countFailure(ctx, c.Failed)
	}
	if c.Publish {
		if err := p.publishApplied(ctx, req, claimed.Plan, stored.GetGeneration(), results.Done); err != nil {
			return c, err
		}
	}
	if c.Next == plan.Finish {
		p.traceLinks.linkCarried(ctx, req, claimed.Base.GetVersion())
	}
	return c, nil
}

// claim claims the product for this process. One write stores the claim and the intent of every call, with its key and
// trace. A nil claim without error means that there is nothing to call, or that the guard holds the plan: then next
// says which.
func (p *pusher) claim(ctx context.Context, req plan.Request) (claimed *claim, next plan.Next, err error) {
	ctx, span := startSpan(ctx, "claim product")
	defer func() {
		if claimed != nil {
			span.SetAttributes(telemetry.StepCountKey.Int(len(claimed.Calls)))
		}
		endSpan(span, err)
	}()
	listed := false
	for range maxClaims {
		d, revision, err := p.decide(ctx, req)
		if err != nil {
			return nil, 0, err
		}
		if listed && !isHeld(d.Observed) {
			if err := p.unlist(ctx, d.Observed.GetProductId()); err != nil {
				return nil, 0, err
			}
		}
		if d.Plan == nil {
			return nil, plan.Finish, p.skip(ctx, req, d)
		}
		if err := p.publishStoredRelease(ctx, d.Observed); err != nil {
			return nil, 0, err
		}
		if err := p.admit(ctx, d); err != nil {
			return nil, 0, err
		}
		findings, err := p.judge(ctx, d)
		if err != nil {
			return nil, 0, err
		}
		if len(findings) > 0 {
			err = p.hold(ctx, req, d, revision, findings)
		} else {
			revision, err = p.storePlan(ctx, d, revision)
		}
		switch {
		case errors.Is(err, state.ErrConflict):
			listed = len(findings) > 0
			continue
		case err != nil:
			return nil, 0, err
		case len(findings) > 0:
			return nil, plan.Held, nil
		case d.Action == plan.Call:
			return newClaim(d.Plan, revision), 0, nil
		case d.Publish:
			if req.Force {
				// Nothing was called, because an earlier pass whose answers were lost had made the calls.
				p.traceLinks.linkCarried(ctx, req, d.Observed.GetVersion())
			}
			return nil, plan.Finish, p.publishApplied(ctx, req, d.Plan, d.Plan.State.GetGeneration(), nil)
		default:
			return nil, plan.Finish, nil
		}
	}
	return nil, 0, fmt.Errorf("lost the claim to other writers %d times: %w", maxClaims, errBusy)
}

// decide reads the product and decides what to do about it. It rereads the product from Stripe if what is known is not
// enough. The revision is that of the state that was read.
func (p *pusher) decide(ctx context.Context, req plan.Request) (d plan.Decision, revision uint64, err error) {
	seen := plan.Seen{}
	if seen.At, err = p.mesh.Clock().Now(ctx); err != nil {
		return d, 0, err
	}
	if seen.Observed, revision, err = p.stores.Observed().Get(ctx, p.account, req.Change.GetProductId()); err != nil {
		return d, 0, err
	}
	if d = p.planner.Decide(req, seen); d.Action != plan.Reread {
		return d, revision, nil
	}
	if seen, err = p.reread(ctx, seen.Observed); err != nil {
		return d, 0, err
	}
	return p.planner.Decide(req, seen), revision, nil
}

// skip ends a pass that needs no plan, as decided.
func (p *pusher) skip(ctx context.Context, req plan.Request, d plan.Decision) error {
	switch d.Action {
	case plan.Busy:
		return errBusy
	case plan.Outdated:
		return errOutdated
	case plan.Superseded:
		metrics.ChangeSuperseded.Add(ctx, 1)
		setOutcome(ctx, telemetry.OutcomeSuperseded)
	default:
		setOutcome(ctx, telemetry.OutcomeUnchanged)
	}
	linkApplier(ctx, d.Observed, req.Change.GetVersion())
	if err := p.endRelease(ctx, d.Observed); err != nil {
		return err
	}
	if d.Publish {
		return p.publishApplied(ctx, req, nil, d.Observed.GetGeneration(), nil)
	}
	return nil
}

// call makes the calls of a claimed plan in order and stops at the first that fails. It keeps the claim meanwhile.
func (p *pusher) call(ctx context.Context, claimed *claim) (r plan.Results) {
	defer p.keepClaim(ctx, claimed)()
	created := plan.CreatedPrices{}
	for i, planned := range claimed.Calls {
		step := created.Resolve(planned.Step)
		answer, failed := p.callStripe(ctx, claimed, i, step)
		if failed != nil {
			r.Failed = failed
			return r
		}
		created.Add(step, answer)
		r.Done = append(r.Done, plan.Done{Step: step, Key: planned.Key, Applied: answer})
	}
	return r
}

// callStripe makes one call of a plan.
func (p *pusher) callStripe(ctx context.Context, claimed *claim, i int, step catalog.Step) (*stripeapi.Applied,
	*plan.Failed,
) {
	key := claimed.Calls[i].Key
	ctx, span := startSpan(ctx, string(step.Kind))
	span.SetAttributes(telemetry.StepKey.String(step.String()), telemetry.IdempotencyKeyKey.String(key))
	answer, err := p.stripe.Apply(ctx, step, key, func() error { return p.checkClaim(ctx, claimed, i) })
	countStep(ctx, step.Kind, err)
	if err != nil {
		_, notSent := errors.AsType[*stripeapi.NotSentError](err)
		failed := &plan.Failed{Step: step, Failure: stripeapi.Classify(err), NotSent: notSent, Index: i}
		if failed.RequestID != "" {
			span.SetAttributes(telemetry.StripeRequestIDKey.String(failed.RequestID))
		}
		endSpan(span, failed)
		return nil, failed
	}
	span.SetAttributes(telemetry.StripeRequestIDKey.String(answer.RequestID),
		telemetry.StripeReplayedKey.Bool(answer.Replayed))
	span.End()
	p.endHalt(ctx)
	p.logger.DebugContext(ctx, "applied", "step", step.String(), "object", answer.ObjectID, "request", answer.RequestID)
	return answer, nil
}

// record stores the results of the calls and releases the claim.
func (p *pusher) record(ctx context.Context, req plan.Request, claimed *claim, r plan.Results) (*catalogv1.Observed,
	error,
) {
	// The calls were made, so their results are recorded even while the service stops.
	ctx = context.WithoutCancel(ctx)
	var recorded plan.Recorded
	stored, err := p.stores.Observed().UpdateFrom(ctx, claimed.State, claimed.revision,
		func(o *catalogv1.Observed) error {
			if recorded = p.planner.Record(o, req, claimed.Plan, r); recorded == plan.LostUnsent {
				return state.ErrNoChange
			}
			return nil
		})
	if err == nil && recorded != plan.Released {
		return nil, fmt.Errorf("product %s: %w", req.Change.GetProductId(), errLostClaim)
	}
	return stored, err
}
