package push

import (
	"context"
	"errors"
	"fmt"

	"github.com/driftless-sync/driftless/services/internal/metrics"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
)

// errOutdated means that the desired state that was read is older than the one applied last.
var errOutdated = errors.New("a later state of the product was applied than the one read from CATALOG")

// errLostClaim means that the pass took too long and another process has claimed the product.
var errLostClaim = errors.New("the claim on the product expired and another process took over")

// claim claims the product for this process and plans the calls. One write stores the claim and the intent of every
// call, with its key and trace. A nil plan without error means that there is nothing to do.
func (p *pusher) claim(ctx context.Context, req passRequest) (pl *plan, err error) {
	ctx, span := startSpan(ctx, "claim product")
	defer func() {
		if pl != nil {
			span.SetAttributes(telemetry.StepCountKey.Int(len(pl.steps)))
		}
		endSpan(span, err)
	}()
	for range 5 {
		now, err := p.mesh.Clock().Now(ctx)
		if err != nil {
			return nil, err
		}
		observed, revision, err := p.stores.Observed().Get(ctx, p.account, req.change.GetProductId())
		if err != nil {
			return nil, err
		}
		if c := observed.GetClaim(); c != nil && c.GetHolder() != p.holder && now.Before(c.GetUntil().AsTime()) {
			return nil, errBusy
		}
		if observed.GetVersion() > req.change.GetVersion() {
			// Another process has applied a later state since this one was read.
			if req.force {
				return nil, errOutdated
			}
			metrics.ChangeSuperseded.Add(ctx, 1)
			span.SetAttributes(telemetry.OutcomeKey.String(telemetry.OutcomeSuperseded))
			linkApplier(ctx, observed, req.change.GetVersion())
			return nil, nil
		}
		isApplied := observed.GetVersion() >= req.change.GetVersion() && !observed.GetStale() &&
			observed.GetClaim() == nil
		if isApplied && !req.force {
			linkApplier(ctx, observed, req.change.GetVersion())
			if req.redelivered {
				return nil, p.publishApplied(ctx, req, observed.GetGeneration(), nil)
			}
			span.SetAttributes(telemetry.OutcomeKey.String(telemetry.OutcomeUnchanged))
			return nil, nil
		}
		pl, err := p.plan(ctx, req, observed, revision, now)
		if errors.Is(err, state.ErrConflict) {
			continue
		}
		return pl, err
	}
	return nil, fmt.Errorf("lost the claim to other writers five times: %w", errBusy)
}
