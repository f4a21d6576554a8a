package stripesim

import (
	"sync"
	"time"
)

// Stripe's limits, in requests per second (https://docs.stripe.com/rate-limits).
const (
	stripeLive        = 100
	stripeTest        = 25
	stripePerEndpoint = 25
)

// Values of the header Stripe-Rate-Limited-Reason.
const (
	ReasonGlobalRate          = "global-rate"
	ReasonEndpointRate        = "endpoint-rate"
	ReasonGlobalConcurrency   = "global-concurrency"
	ReasonEndpointConcurrency = "endpoint-concurrency"
	ReasonResourceSpecific    = "resource-specific"
)

func (l Limits) resolve(live bool) Limits {
	if l.PerSecond == 0 {
		l.PerSecond = stripeTest
		if live {
			l.PerSecond = stripeLive
		}
	}
	setDefault(&l.PerEndpoint, stripePerEndpoint)
	setDefault(&l.Burst, 1)
	return l
}

// limiter limits the requests of one account in one mode.
type limiter struct {
	mu        sync.Mutex
	global    bucket
	endpoints map[string]*bucket
	running   int
	runningOf map[string]int
}

// bucket fills with tokens; each request takes one.
type bucket struct {
	tokens float64
	at     time.Time
}

func (b *bucket) fill(now time.Time, rate, capacity float64) {
	if b.at.IsZero() {
		b.tokens = capacity
	} else if elapsed := now.Sub(b.at).Seconds(); elapsed > 0 {
		b.tokens += elapsed * rate
	}
	b.tokens = min(b.tokens, capacity)
	b.at = now
}

// enter admits a request, or returns the reason for refusing it. An admitted request must call leave.
func (l *limiter) enter(limits Limits, endpoint string, now time.Time) (reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.endpoints == nil {
		l.endpoints, l.runningOf = map[string]*bucket{}, map[string]int{}
	}
	if !limits.Off {
		if reason := l.refuse(limits, endpoint, now); reason != "" {
			return reason
		}
	}
	l.running++
	l.runningOf[endpoint]++
	return ""
}

func (l *limiter) refuse(limits Limits, endpoint string, now time.Time) string {
	own := l.endpoints[endpoint]
	if own == nil {
		own = &bucket{}
		l.endpoints[endpoint] = own
	}
	// A bucket must hold at least one whole token, or no request ever passes.
	l.global.fill(now, limits.PerSecond, max(1, limits.PerSecond*limits.Burst))
	own.fill(now, limits.PerEndpoint, max(1, limits.PerEndpoint*limits.Burst))
	switch {
	case l.global.tokens < 1:
		return ReasonGlobalRate
	case own.tokens < 1:
		return ReasonEndpointRate
	case limits.Concurrency > 0 && l.running >= limits.Concurrency:
		return ReasonGlobalConcurrency
	case limits.EndpointConcurrency > 0 && l.runningOf[endpoint] >= limits.EndpointConcurrency:
		return ReasonEndpointConcurrency
	}
	l.global.tokens--
	own.tokens--
	return ""
}

func (l *limiter) leave(endpoint string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running--
	l.runningOf[endpoint]--
}
