package push

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v76"

	"github.com/driftless-sync/driftless/services/internal/metrics"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
)

func TestFailures_ForgetsOldOnes(t *testing.T) {
	f, now := newFailures(), time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	count := func(product string, at time.Time) uint64 {
		n, _ := f.add(product, at)
		return n
	}
	f.raise("mug", 8, time.Time{}, now)
	require.EqualValues(t, 9, count("mug", now.Add(maxFailureAge-time.Minute)))
	now = now.Add(2 * maxFailureAge)
	require.EqualValues(t, 1, count("cup", now))
	require.Len(t, f.byProduct, 1, "they are not kept for ever")
	require.EqualValues(t, 1, count("mug", now.Add(time.Second)), "it may have succeeded elsewhere")
	require.True(t, f.clear("mug"))
	require.False(t, f.clear("mug"))
}

func TestIsReported_DoublesFromTheFirst(t *testing.T) {
	var reported []uint64
	for n := range uint64(100) {
		if isReported(n) {
			reported = append(reported, n)
		}
	}
	require.Equal(t, []uint64{1, 2, 4, 8, 16, 32, 64}, reported)
}

func TestFailures_KnowSinceWhen(t *testing.T) {
	f, now := newFailures(), time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	since := func(product string, at time.Time) time.Time {
		_, since := f.add(product, at)
		return since
	}
	require.Equal(t, now, since("mug", now))
	require.Equal(t, now, since("mug", now.Add(time.Minute)))
	f.raise("mug", 7, now.Add(-time.Hour), now.Add(2*time.Minute))
	require.Equal(t, now.Add(-time.Hour), since("mug", now.Add(3*time.Minute)), "another process failed before")
	f.raise("mug", 7, now, now.Add(4*time.Minute))
	require.Equal(t, now.Add(-time.Hour), since("mug", now.Add(5*time.Minute)))
	f.clear("mug")
	require.Equal(t, now.Add(time.Hour), since("mug", now.Add(time.Hour)))
}

func TestFailureClass_IsALabelOfTheMetric(t *testing.T) {
	for want, err := range map[string]error{
		"server_error": stripeapi.Classify(&stripe.Error{HTTPStatusCode: 503}),
		"rate_limited": stripeapi.Classify(&stripe.Error{HTTPStatusCode: 429}),
		"refused":      stripeapi.Classify(&stripe.Error{HTTPStatusCode: 409}),
		"no_answer":    stripeapi.Classify(errors.New("connection reset")),
		"other":        &stripeapi.NotSentError{Err: errors.New("the budget is away")},
	} {
		require.Equal(t, want, failureClass(fmt.Errorf("product mug: %w", err)))
		require.True(t, slices.Contains(metrics.Failure.Values, want), want)
	}
	require.Equal(t, "other", failureClass(errors.New("NATS: timeout")))
	require.Equal(t, "other",
		failureClass(stripeapi.Classify(&stripeapi.NotSentError{Err: errors.New("NATS: timeout")})))
}
