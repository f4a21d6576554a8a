package stripeapi

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/stripe/stripe-go/v76"

	"github.com/driftless-sync/driftless/services/internal/budget"
	"github.com/driftless-sync/driftless/services/internal/metrics"
)

// countWait records how long a request waited for its turn.
func countWait(ctx context.Context, since time.Time) {
	lane := "live"
	if budget.LaneOf(ctx) == budget.Bulk {
		lane = "bulk"
	}
	metrics.StripeBudgetWait.Record(ctx, time.Since(since).Seconds(), metrics.Lane.With(lane))
}

// countRequest records a request that was made, and how it ended.
func countRequest(ctx context.Context, operation string, since time.Time, err error) {
	metrics.StripeRequestDuration.Record(ctx, time.Since(since).Seconds(), metrics.Operation.With(operation),
		metrics.Answer.With(answerLabel(err)))
	var e *stripe.Error
	if !errors.As(err, &e) || e.HTTPStatusCode != http.StatusTooManyRequests {
		return
	}
	reason := RateLimitReason(err)
	switch {
	case slices.Contains(metrics.LimitReason.Values, reason):
	case e.Code == stripe.ErrorCodeLockTimeout:
		reason = "lock-timeout"
	default:
		// Labels from a header's text would make a series for each text.
		reason = "other"
	}
	metrics.StripeRateLimited.Add(ctx, 1, metrics.Operation.With(operation), metrics.LimitReason.With(reason))
}

func answerLabel(err error) string {
	if err == nil {
		return "ok"
	}
	var e *stripe.Error
	switch {
	case !errors.As(err, &e):
		return "no_answer"
	case e.HTTPStatusCode == http.StatusTooManyRequests:
		return "rate_limited"
	case e.HTTPStatusCode >= http.StatusInternalServerError:
		return "server_error"
	default:
		return "refused"
	}
}
