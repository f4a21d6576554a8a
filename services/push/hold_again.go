package push

import (
	"context"
	"time"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/guard"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

const (
	// judgeAgainDelay is how long a failed look at the held products waits for the next attempt.
	judgeAgainDelay = 10 * time.Second
	// judgeDelay is when a held product is judged again after the start.
	judgeDelay = time.Second
)

// judgeHoldsAgain has all held products judged again if the rules have changed since push last did so. It also takes
// products that are no longer held off the lists of the guard's record: a process may have died between the two writes.
func (p *pusher) judgeHoldsAgain(ctx context.Context) error {
	for {
		err := p.forgetReleased(ctx)
		if err == nil {
			err = p.judgeUnderNewRules(ctx)
		}
		if err == nil {
			return nil
		}
		if ctx.Err() == nil {
			p.logger.WarnContext(ctx, "could not judge the held products again", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(judgeAgainDelay):
		}
	}
}

// judgeUnderNewRules schedules a retry of every held product. RETRY keeps them over restarts.
func (p *pusher) judgeUnderNewRules(ctx context.Context) error {
	record, rules := &meshv1.Guard{}, p.planner.RulesHash()
	if _, err := p.stores.Guard(p.account).GetAt(ctx, record); err != nil || record.GetRules() == rules {
		return err
	}
	for observed, err := range p.eachObserved(ctx) {
		if err != nil {
			return err
		}
		if observed.GetHold() == nil {
			continue
		}
		if err := p.judgeLater(ctx, observed); err != nil {
			return err
		}
	}
	return p.updateGuard(ctx, func(record *meshv1.Guard) error {
		record.Rules = rules
		return nil
	})
}

func (p *pusher) judgeLater(ctx context.Context, observed *catalogv1.Observed) error {
	hold := observed.GetHold()
	return p.mesh.RetryLater(ctx, topology.Push, &meshv1.Retry{
		Account: p.account, ProductId: observed.GetProductId(), Version: hold.GetVersion(),
		Lane: string(topology.Bulk), Error: "held by the guard, whose rules have changed",
		Overwrite: hold.GetOverwrite(), Leave: hold.GetLeave(),
	}, judgeDelay)
}

// forgetReleased takes products that are not held off the lists of the guard's record.
func (p *pusher) forgetReleased(ctx context.Context) error {
	record := &meshv1.Guard{}
	if _, err := p.stores.Guard(p.account).GetAt(ctx, record); err != nil {
		return err
	}
	listed := guard.Held(record)
	if len(listed) == 0 {
		return nil
	}
	entries, err := p.stores.Observed().GetMany(ctx, p.account, listed)
	if err != nil {
		return err
	}
	return p.updateGuard(ctx, func(record *meshv1.Guard) error {
		for _, entry := range entries {
			if hold := entry.Observed.GetHold(); hold == nil || hold.GetApproved() {
				guard.Release(record, entry.Observed.GetProductId())
			}
		}
		return nil
	})
}
