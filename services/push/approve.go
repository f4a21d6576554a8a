package push

import (
	"context"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/budget"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/push/internal/plan"
)

// approve handles a command to make a held change. It records the approval with the hold. If enough people have
// approved, it makes the change at once. A redelivered command does nothing twice.
func (p *pusher) approve(ctx context.Context, msg mesh.Message[*meshv1.Command]) mesh.Verdict {
	approve := msg.Body.GetApprove()
	now, err := p.mesh.Clock().Now(ctx)
	if err != nil {
		return mesh.Retry(err)
	}
	var result plan.Approval
	var number, needed int
	observed, err := p.stores.Observed().Update(ctx, p.account, approve.GetProductId(),
		func(o *catalogv1.Observed) error {
			result, number, needed = p.planner.Approve(o, approve.GetVersion(), msg.Body.GetIssuer(),
				msg.Body.GetReason(), now)
			if result != plan.Added {
				return state.ErrNoChange
			}
			return nil
		})
	if err != nil {
		return mesh.Retry(err)
	}
	hold := observed.GetHold()
	if result == plan.NotHeld {
		return p.ignoreApproval(ctx, msg, observed)
	}
	if err := p.publishApproval(ctx, approve.GetProductId(), hold, number, needed); err != nil {
		return mesh.Retry(err)
	}
	if result == plan.Added {
		p.logger.InfoContext(ctx, "recorded the approval of a held change", "product", approve.GetProductId(),
			"version", approve.GetVersion(), "by", msg.Body.GetIssuer(), "reason", msg.Body.GetReason(),
			"approvals", number, "needed", needed)
	}
	if !hold.GetApproved() {
		return mesh.Ack()
	}
	// A person waits for it.
	return p.makeApproved(budget.InLane(ctx, budget.Live), msg, observed)
}

// makeApproved makes a change that was held and is approved.
func (p *pusher) makeApproved(ctx context.Context, msg mesh.Message[*meshv1.Command],
	observed *catalogv1.Observed,
) mesh.Verdict {
	product, hold := observed.GetProductId(), observed.GetHold()
	if err := p.unlist(ctx, product); err != nil {
		return mesh.Retry(err)
	}
	latest, err := p.stores.Desired().Latest(ctx, p.account, product)
	if err != nil {
		return mesh.Retry(err)
	}
	if latest == nil {
		latest = p.withoutExtra(product)
	}
	req := plan.Request{Change: latest, Force: true, Repeated: msg.Attempt > 1}
	if latest.GetVersion() == hold.GetVersion() {
		req.Exceptions = catalog.Exceptions{Overwrite: hold.GetOverwrite(), Leave: hold.GetLeave()}
	}
	return p.sync(ctx, req)
}

// ignoreApproval ends a command to approve a version that is not held.
func (p *pusher) ignoreApproval(ctx context.Context, msg mesh.Message[*meshv1.Command],
	observed *catalogv1.Observed,
) mesh.Verdict {
	approve, held := msg.Body.GetApprove(), observed.GetHold().GetVersion()
	if msg.Attempt > 1 && observed.GetVersion() >= approve.GetVersion() {
		// An earlier delivery has made the change.
		return mesh.Ack()
	}
	p.logger.WarnContext(ctx, "ignored an approval: the version is not held", "product", approve.GetProductId(),
		"version", approve.GetVersion(), "held", held, "by", msg.Body.GetIssuer())
	if err := p.publishIgnoredApproval(ctx, msg.Body, held); err != nil {
		return mesh.Retry(err)
	}
	return mesh.Ack()
}
