package push

import (
	"context"
	"errors"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
)

// claimTimeout is how long a claim is valid after its last renewal. A product waits this long for another push when its
// push has died.
const claimTimeout = 12 * time.Second

// maxCallAge is how long after it was planned a call may still take effect in Stripe. Until then every process repeats
// it only with its own key.
const maxCallAge = stripeapi.RequestTimeout + 15*time.Second

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
	return l.renewedAt.Add(claimTimeout)
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

// keepClaim renews the claim of a plan every claimTimeout/3 until stop is called.
func (p *pusher) keepClaim(ctx context.Context, pl *plan) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		ticker := time.NewTicker(claimTimeout / 3)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			if err := p.renewClaim(ctx, pl, len(pl.steps)); errors.Is(err, errLostClaim) {
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
func (p *pusher) renewClaim(ctx context.Context, pl *plan, step int) error {
	now, err := p.mesh.Clock().Now(ctx)
	if err != nil {
		return err
	}
	_, err = p.stores.Observed().Update(ctx, p.account, pl.change.GetProductId(), func(o *catalogv1.Observed) error {
		if o.GetClaim().GetHolder() != p.holder {
			return errLostClaim
		}
		o.Claim.Until = timestamppb.New(now.Add(claimTimeout))
		for _, s := range pl.steps[step:] {
			if intent := catalog.FindIntent(o, s.key); intent != nil {
				intent.At = timestamppb.New(now)
			}
		}
		return nil
	})
	switch {
	case err == nil:
		pl.lease.renewed(now)
		if step < len(pl.steps) {
			pl.lease.stamped(now)
		}
	case errors.Is(err, errLostClaim):
		pl.lease.markLost()
	}
	return err
}

// checkClaim makes sure, just before a step's call, that the claim is valid and that the step's intent is recent. It
// renews the claim if needed.
func (p *pusher) checkClaim(ctx context.Context, pl *plan, step int) error {
	now, err := p.mesh.Clock().Now(ctx)
	switch {
	case err != nil:
		return err
	case pl.lease.isLost():
		return errLostClaim
	case pl.lease.expiry().Sub(now) > claimTimeout/2 &&
		pl.lease.stampAge(now) < maxCallAge-stripeapi.RequestTimeout-claimTimeout/2:
		return nil
	default:
		return p.renewClaim(ctx, pl, step)
	}
}
