package stripeapi

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Limits are calls per second. Stripe counts per account, whoever calls, and per endpoint: per operation such as
// POST /v1/prices, whichever object it is about (https://docs.stripe.com/rate-limits).
type Limits struct {
	// PerSecond in all; 0 means no limit.
	PerSecond float64
	// PerEndpoint for each operation; 0 means no limit.
	PerEndpoint float64
}

// afterRateLimit is how long all calls rest once Stripe has answered that the account is over its limit.
const afterRateLimit = time.Second

// pacer spaces calls evenly: with a burst of one, the limit holds in every second, the first included.
type pacer struct {
	limits Limits
	global *rate.Limiter

	mu        sync.Mutex
	endpoints map[string]*rate.Limiter
	restUntil time.Time
}

func newPacer(l Limits) *pacer {
	return &pacer{limits: l, global: limiter(l.PerSecond), endpoints: map[string]*rate.Limiter{}}
}

func limiter(perSecond float64) *rate.Limiter {
	if perSecond <= 0 {
		return rate.NewLimiter(rate.Inf, 1)
	}
	return rate.NewLimiter(rate.Limit(perSecond), 1)
}

// wait returns when the call may be made.
func (p *pacer) wait(ctx context.Context, endpoint string) error {
	p.mu.Lock()
	l, ok := p.endpoints[endpoint]
	if !ok {
		l = limiter(p.limits.PerEndpoint)
		p.endpoints[endpoint] = l
	}
	rest := time.Until(p.restUntil)
	p.mu.Unlock()
	if rest > 0 {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(rest):
		}
	}
	// The endpoint first: a call held up there must not have used up a place of all.
	if err := l.Wait(ctx); err != nil {
		return err
	}
	return p.global.Wait(ctx)
}

// failed makes all calls rest if Stripe said that there were too many.
func (p *pacer) failed(err error) {
	if RateLimited(err) == "" {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.restUntil = time.Now().Add(afterRateLimit)
}
