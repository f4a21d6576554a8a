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

// claimFor is how long a claim is valid after its last renewal. A product waits this long for another push when its
// push has died.
const claimFor = 12 * time.Second

// callLife is how long after it was planned a call may still take effect in Stripe. Until then every process repeats it
// only with its own key.
const callLife = stripeapi.RequestTimeout + 15*time.Second

// hold is the time for which a claim is valid, by the NATS server's clock. It is safe for concurrent use.
type hold struct {
	mu    sync.Mutex
	since time.Time
	// noted is when the intents of the calls still to be made were last stamped.
	noted time.Time
	lost  bool
}

func (h *hold) extended(at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.since = at
}

func (h *hold) dated(at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.noted = at
}

func (h *hold) age(now time.Time) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return now.Sub(h.noted)
}

func (h *hold) end() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.since.Add(claimFor)
}

func (h *hold) lose() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lost = true
}

func (h *hold) isLost() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lost
}

// keep renews the claim of a plan every claimFor/3 until stop is called.
func (p *pusher) keep(ctx context.Context, pl *plan) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		ticker := time.NewTicker(claimFor / 3)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			if err := p.extend(ctx, pl, len(pl.steps)); errors.Is(err, errLostClaim) {
				return
			}
		}
	})
	return func() {
		cancel()
		wg.Wait()
	}
}

// extend renews the claim. It stamps the intents from a step on with the current time, because their calls are about to
// be made.
func (p *pusher) extend(ctx context.Context, pl *plan, step int) error {
	now, err := p.mesh.Clock().Now(ctx)
	if err != nil {
		return err
	}
	_, err = p.mesh.Observed().Update(ctx, p.account, pl.change.GetProductId(), func(o *catalogv1.Observed) error {
		if o.GetClaim().GetHolder() != p.holder {
			return errLostClaim
		}
		o.Claim.Until = timestamppb.New(now.Add(claimFor))
		for _, s := range pl.steps[step:] {
			if intent := catalog.FindIntent(o, s.key); intent != nil {
				intent.At = timestamppb.New(now)
			}
		}
		return nil
	})
	switch {
	case err == nil:
		pl.hold.extended(now)
		if step < len(pl.steps) {
			pl.hold.dated(now)
		}
	case errors.Is(err, errLostClaim):
		pl.hold.lose()
	}
	return err
}

// renew makes sure, just before a step's call, that the claim is valid and that the step's intent is recent. It renews
// the claim if needed.
func (p *pusher) renew(ctx context.Context, pl *plan, step int) error {
	now, err := p.mesh.Clock().Now(ctx)
	switch {
	case err != nil:
		return err
	case pl.hold.isLost():
		return errLostClaim
	case pl.hold.end().Sub(now) > claimFor/2 && pl.hold.age(now) < callLife-stripeapi.RequestTimeout-claimFor/2:
		return nil
	default:
		return p.extend(ctx, pl, step)
	}
}
