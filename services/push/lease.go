package push

import (
	"context"
	"errors"
	"sync"
	"time"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
	"github.com/driftless-sync/driftless/services/push/internal/plan"
)

// claim is a plan whose claim is stored.
type claim struct {
	*plan.Plan
	// revision is that of the plan's state in OBSERVED.
	revision uint64
	lease    lease
}

func newClaim(pl *plan.Plan, revision uint64) *claim {
	return &claim{Plan: pl, revision: revision, lease: lease{renewedAt: pl.At, stampedAt: pl.At}}
}

// lease is the time for which a claim is valid, by the NATS server's clock. It is safe for concurrent use.
type lease struct {
	mu        sync.Mutex
	renewedAt time.Time
	// stampedAt is when the intents of the calls still to be made were last stamped.
	stampedAt time.Time
	lost      bool
}

func (l *lease) renewed(at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.renewedAt = at
}

func (l *lease) stamped(at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stampedAt = at
}

func (l *lease) stampAge(now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return now.Sub(l.stampedAt)
}

func (l *lease) expiry() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.renewedAt.Add(plan.ClaimTimeout)
}

func (l *lease) markLost() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost = true
}

func (l *lease) isLost() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost
}

// keepClaim renews the claim every third of its duration until stop is called.
func (p *pusher) keepClaim(ctx context.Context, claimed *claim) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		ticker := time.NewTicker(plan.ClaimTimeout / 3)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			if err := p.renewClaim(ctx, claimed, len(claimed.Calls)); errors.Is(err, errLostClaim) {
				return
			}
		}
	})
	return func() {
		cancel()
		wg.Wait()
	}
}

// renewClaim renews the claim. It stamps the intents from a step on with the current time, because their calls are
// about to be made.
func (p *pusher) renewClaim(ctx context.Context, claimed *claim, step int) error {
	now, err := p.mesh.Clock().Now(ctx)
	if err != nil {
		return err
	}
	product := claimed.Change.GetProductId()
	_, err = p.stores.Observed().Update(ctx, p.account, product, func(o *catalogv1.Observed) error {
		if !p.planner.Renew(o, claimed.Plan, step, now) {
			return errLostClaim
		}
		return nil
	})
	switch {
	case err == nil:
		claimed.lease.renewed(now)
		if step < len(claimed.Calls) {
			claimed.lease.stamped(now)
		}
	case errors.Is(err, errLostClaim):
		claimed.lease.markLost()
	}
	return err
}

// checkClaim makes sure, just before a step's call, that the claim is valid and that the step's intent is recent. It
// renews the claim if needed.
func (p *pusher) checkClaim(ctx context.Context, claimed *claim, step int) error {
	now, err := p.mesh.Clock().Now(ctx)
	switch {
	case err != nil:
		return err
	case claimed.lease.isLost():
		return errLostClaim
	case claimed.lease.expiry().Sub(now) > plan.ClaimTimeout/2 &&
		claimed.lease.stampAge(now) < plan.MaxCallAge-stripeapi.RequestTimeout-plan.ClaimTimeout/2:
		return nil
	default:
		return p.renewClaim(ctx, claimed, step)
	}
}
