package push

import (
	"context"
	"errors"
	"fmt"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// errBusy means that another process, or another message in this process, is syncing the product.
var errBusy = errors.New("the product is claimed")

// errChangedMeanwhile means that the product was written, and something else changed it in Stripe at the same time.
var errChangedMeanwhile = errors.New("the product changed in Stripe while it was being written")

// passRequest describes the pass to make.
type passRequest struct {
	change *catalogv1.ProductChange
	// reread reads the product from Stripe before planning.
	reread bool
	// force makes the pass plan even if the version was applied before.
	force bool
	// redelivered reports whether an earlier attempt may have applied the version and died before it published the
	// outcome.
	redelivered bool
	// traceparent is the pass's trace. Stripe's events about its calls continue it.
	traceparent string
	// exceptions are exceptions from the policy.
	exceptions catalog.Exceptions
	// laterRound reports whether this is a later round of the pass.
	laterRound bool
	// adopted reports whether an operator has adopted the product. Its missing prices may then be created.
	adopted bool
	// skips are the parts that Stripe has refused in this pass.
	skips *skips
	// keys are the lookup keys whose owners the pass has read from Stripe.
	keys *lookupKeys
}

// pass syncs one product with a desired state: claim, plan, apply, record, publish.
func (p *pusher) pass(ctx context.Context, req passRequest) (err error) {
	product := req.change.GetProductId()
	unlock, ok := p.lock(product)
	if !ok {
		return errBusy
	}
	defer unlock()
	ctx = telemetry.ContextAbout(ctx, telemetry.About{
		Account: p.account,
		Product: product,
		Version: req.change.GetVersion(),
	})
	ctx, span := startSpan(ctx, "sync product")
	defer func() { endSpan(span, err) }()
	req.traceparent = telemetry.Traceparent(ctx)

	req.skips, req.keys = &skips{}, newLookupKeys()
	var refused *refusedError
	for {
		err := p.runRounds(ctx, req)
		found := new(refusedError)
		if errors.As(err, &found) && found.step != nil && req.keys.needsOwner(found.step) {
			left, err := p.resolveKeyOwner(ctx, req, found.step)
			if err != nil {
				return err
			}
			if left != nil {
				refused = refused.join(left)
			}
			req.reread, req.laterRound = false, true
			continue
		}
		switch {
		case errors.As(err, &found) && found.step != nil && req.skips.add(found.step):
			refused = refused.join(found)
			req.reread, req.laterRound = false, true
		case errors.As(err, &found) && refused != nil:
			return refused.join(found)
		case err == nil && refused != nil:
			return refused.withRestApplied()
		default:
			return err
		}
	}
}

// runRounds plans and applies until nothing is left to do or until another party must act. It makes at most three
// rounds. It handles at once what it can detect at once: the product existed already, or it changed during the pass. A
// redelivery would be slower.
func (p *pusher) runRounds(ctx context.Context, req passRequest) (err error) {
	for n := range 3 {
		var again bool
		again, err = p.runRound(ctx, req)
		switch {
		case !again && n > 0 && errors.Is(err, errBusy):
			return fmt.Errorf("while it was being synced: %w", err)
		case !again:
			return err
		}
		req.reread, req.laterRound = true, true
	}
	if reserved := new(reservedIDError); errors.As(err, &reserved) {
		return reserved.refusedError
	}
	return fmt.Errorf("product %s: still different after three rounds: %w", req.change.GetProductId(), err)
}

// runRound plans once and applies the plan. It returns again if Stripe holds something else than was recorded. Another
// round, after a reread, may then succeed.
func (p *pusher) runRound(ctx context.Context, req passRequest) (again bool, err error) {
	plan, err := p.claim(ctx, req)
	if err != nil || plan == nil {
		return false, err
	}
	stop := p.keepClaim(ctx, plan)
	applied, failure := p.apply(ctx, plan)
	stop()
	defer func() {
		if err == nil {
			p.traceLinks.linkCarried(ctx, req.change, plan.base.GetVersion())
		}
	}()
	observed, err := p.recordResult(ctx, req, plan, applied, failure)
	if err != nil {
		return false, err
	}
	if failure != nil {
		countFailure(ctx, failure)
		// The call may rest on an outdated observed state, so a refusal counts only after a reread.
		withoutReread := failure.Action == stripeapi.Refuse && !plan.reread && !req.keys.needsOwner(failure)
		again := failure.Action == stripeapi.RereadFirst && failure.Status < 500 || withoutReread
		if reserved := p.checkReservedID(plan, failure); reserved != nil {
			return true, reserved
		}
		return again, p.stepError(plan, applied, failure)
	}
	if observed.GetStale() {
		return true, errChangedMeanwhile
	}
	// Other remaining steps come from changes that others made and that no event has reported yet. The ledger detects
	// those as drift.
	if left := repeatedSteps(p.steps(req, observed), applied); len(left) > 0 {
		return false, &refusedError{letter: p.deadLetter(req.change, topology.ReasonNotConverging,
			fmt.Sprintf("Stripe accepted every call but still holds other values; remaining steps: %s",
				describeSteps(left)))}
	}
	if !req.isComplete() {
		return false, nil
	}
	if plan.base.GetVersion() < req.change.GetVersion() {
		countApplied(ctx, req.change)
	}
	return false, p.publishApplied(ctx, req, observed.GetGeneration(), applied)
}
