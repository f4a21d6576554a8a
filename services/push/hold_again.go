package push

import (
	"context"
	"maps"
	"time"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/guard"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/push/internal/plan"
)

const (
	// judgeAgainDelay is how long a failed look at the held products waits for the next attempt.
	judgeAgainDelay = 10 * time.Second
	// judgeDelay is when a held product is judged again after the start.
	judgeDelay = time.Second
	// listCheckInterval is the time between two checks of the lists of held products.
	listCheckInterval = time.Minute
	// secondCheckDelay is the time from the first check after the start to the second. It is longer than the time
	// between the two writes of a hold.
	secondCheckDelay = 2 * time.Second
)

// keepHolds has all held products judged again if the rules have changed since push last did so. Then it keeps the
// guard's lists of held products equal to the holds in OBSERVED, until ctx ends: a process may have died between the
// two writes, and a list has room for only so many.
func (p *pusher) keepHolds(ctx context.Context) error {
	judged, missing, delay := false, map[string]bool{}, secondCheckDelay
	for {
		err := p.checkLists(ctx, missing)
		if err == nil && !judged {
			err = p.judgeUnderNewRules(ctx)
			judged = err == nil
		}
		if err != nil {
			if ctx.Err() == nil {
				p.logger.WarnContext(ctx, "could not judge the held products again", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(delay):
		}
		delay = listCheckInterval
		if !judged {
			delay = judgeAgainDelay
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

// checkLists takes products that are not held off the lists of the guard's record, and lists those for which there was
// no room. missing has the listed products that were not held at the last check, and is updated: only those are taken
// off, because a product is listed just before its hold is stored.
func (p *pusher) checkLists(ctx context.Context, missing map[string]bool) error {
	record := &meshv1.Guard{}
	if _, err := p.stores.Guard(p.account).GetAt(ctx, record); err != nil {
		return err
	}
	released, err := p.releasedOf(ctx, guard.Held(record), missing)
	if err != nil {
		return err
	}
	var rules map[string][]guard.Rule
	if guard.HasMoreHeld(record) {
		if rules, err = p.heldRules(ctx); err != nil {
			return err
		}
	}
	if len(released) == 0 && rules == nil {
		return nil
	}
	now, err := p.mesh.Clock().Now(ctx)
	if err != nil {
		return err
	}
	return p.updateGuard(ctx, func(record *meshv1.Guard) error {
		for _, product := range released {
			guard.Release(record, product)
		}
		if rules != nil {
			guard.Relist(record, rules, now)
		}
		return nil
	})
}

// releasedOf returns those of the listed products that are not held, now and at the last check.
func (p *pusher) releasedOf(ctx context.Context, listed []string,
	missing map[string]bool,
) (released []string, err error) {
	if len(listed) == 0 {
		clear(missing)
		return nil, nil
	}
	entries, err := p.stores.Observed().GetMany(ctx, p.account, listed)
	if err != nil {
		return nil, err
	}
	before := maps.Clone(missing)
	clear(missing)
	for i, entry := range entries {
		// A state that cannot be decoded may have a hold.
		if entry.Undecodable != nil || isHeld(entry.Observed) {
			continue
		}
		if missing[listed[i]] = true; before[listed[i]] {
			released = append(released, listed[i])
		}
	}
	return released, nil
}

// heldRules returns every held product of the account, with the kinds of the rules that hold it.
func (p *pusher) heldRules(ctx context.Context) (map[string][]guard.Rule, error) {
	out := map[string][]guard.Rule{}
	for observed, err := range p.eachObserved(ctx) {
		if err != nil {
			return nil, err
		}
		if !isHeld(observed) {
			continue
		}
		for _, rule := range plan.HeldBy(observed.GetHold()) {
			out[observed.GetProductId()] = append(out[observed.GetProductId()], guard.Rule(rule).Kind())
		}
	}
	return out, nil
}

func isHeld(o *catalogv1.Observed) bool { return o.GetHold() != nil && !o.GetHold().GetApproved() }
