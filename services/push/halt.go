package push

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
)

// haltDelay is how long deliveries pause after Stripe refused the key. Then one message at a time tries again.
const haltDelay = time.Minute

// haltAccount pauses the deliveries to every push. No call can succeed with this key, and each attempt would only use
// up deliveries.
func (p *pusher) haltAccount(ctx context.Context, cause error) mesh.Verdict {
	p.halted.Store(true)
	telemetry.Fail(trace.SpanFromContext(ctx), cause)
	if err := p.mesh.Pause(ctx, haltDelay, consumers...); err != nil {
		p.logger.WarnContext(ctx, "could not pause the consumers", "error", err)
	}
	if err := p.stores.Halted(p.account).PutString(ctx, cause.Error()); err != nil {
		p.logger.WarnContext(ctx, "could not record that the account is halted", "error", err)
	}
	p.logger.ErrorContext(
		ctx, "Stripe refused the API key; push is halted until it accepts the key: check STRIPE_API_KEY and its permissions",
		"account", p.account, "again_in", haltDelay, "error", cause)
	return mesh.RetryIn(time.Second, nil)
}

// endHalt ends a halt after a call that Stripe has accepted.
func (p *pusher) endHalt(ctx context.Context) {
	if !p.halted.CompareAndSwap(true, false) {
		return
	}
	if err := p.stores.Halted(p.account).PutString(ctx, ""); err != nil {
		p.halted.Store(true)
		p.logger.WarnContext(ctx, "could not record that the account is no longer halted", "error", err)
		return
	}
	p.logger.InfoContext(ctx, "Stripe accepts the key again", "account", p.account)
}

// resumeConsumers lets a push that starts during a halt try at once: it may have another key.
func (p *pusher) resumeConsumers(ctx context.Context) error {
	reason, err := p.stores.Halted(p.account).GetString(ctx)
	if err != nil || reason == "" {
		return err
	}
	p.halted.Store(true)
	return p.mesh.Resume(ctx, consumers...)
}

// watchHalts follows the halts of other processes: the one that recorded a halt may be gone when Stripe accepts the key
// again. It also ends halts that were not renewed: with nothing left to write, no call would show that the key is
// accepted.
func (p *pusher) watchHalts(ctx context.Context) error {
	ticker := time.NewTicker(haltDelay / 2)
	defer ticker.Stop()
	var revision uint64
	var since time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-ticker.C:
			reason, at, err := p.stores.Halted(p.account).GetStringAt(ctx)
			switch {
			case err != nil:
			case reason == "":
				p.halted.Store(false)
			case at != revision:
				revision, since = at, now
				p.halted.Store(true)
			case now.Sub(since) > 3*haltDelay:
				if _, err := p.stores.Halted(p.account).CompareAndPutString(ctx, "", at); err == nil {
					p.halted.Store(false)
					p.logger.InfoContext(ctx, "halt lifted: no refusals recently", "account", p.account)
				}
			}
		}
	}
}
