package stripeapi

import (
	"errors"
	"net/http"
	"sync"

	"github.com/stripe/stripe-go/v76"

	"github.com/driftless-sync/driftless/services/internal/metrics"
)

// access knows for each operation whether Stripe's latest answer refused the key. Safe for concurrent use.
type access struct {
	mu      sync.Mutex
	refused map[string]bool
}

// note notes the answer to a request of an operation. No answer, and an answer about the servers' state, say nothing
// about the key.
func (a *access) note(operation string, err error) {
	refused := false
	if err != nil {
		var e *stripe.Error
		if !errors.As(err, &e) || e.HTTPStatusCode == http.StatusTooManyRequests ||
			e.HTTPStatusCode >= http.StatusInternalServerError {
			return
		}
		refused = e.HTTPStatusCode == http.StatusUnauthorized || e.HTTPStatusCode == http.StatusForbidden
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.refused == nil {
		a.refused = map[string]bool{}
	}
	a.refused[operation] = refused
}

// Observe reports which operations Stripe refuses the key for, until the returned function is called.
func (c *Client) Observe() (stop func()) {
	return metrics.Observe(func(report metrics.Report) {
		c.access.mu.Lock()
		defer c.access.mu.Unlock()
		for operation, refused := range c.access.refused {
			value := 0.0
			if refused {
				value = 1
			}
			report(metrics.StripeAccessRefused, value, metrics.Operation.With(operation))
		}
	}, metrics.StripeAccessRefused)
}
