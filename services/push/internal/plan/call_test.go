package plan

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

func TestHasUnknownOutcome_CountsAKeysAgeFromItsFirstUse(t *testing.T) {
	const account, generation = "default", 3
	step := catalog.Step{Kind: catalog.CreatePrice, PriceID: "mug-eur"}
	call := PlannedCall{step, step.IdempotencyKey(account, generation), generation}
	begun := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	observed := &catalogv1.Observed{}
	intent := func(now time.Time) *catalogv1.Intent {
		return (&Plan{Change: &catalogv1.ProductChange{}, Base: observed, At: now}).intent(Request{}, call)
	}
	for hours := range 48 {
		now := begun.Add(time.Duration(hours) * time.Hour)
		require.Equal(t, hours > 23, hasUnknownOutcome([]PlannedCall{call}, observed, now),
			"hour %d: Stripe may forget a key 24 hours after the first call", hours)
		catalog.RecordIntents(observed, intent(now))
	}
	observed.Intents[0].Settled = true
	again := begun.Add(100 * time.Hour)
	require.Equal(t, again, intent(again).GetFirstAt().AsTime(),
		"of a call whose outcome is known nothing has to be remembered")
}
