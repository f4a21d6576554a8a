package push

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

func TestFailures_ForgetsOldOnes(t *testing.T) {
	f, now := newFailures(), time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	f.raise("mug", 8, now)
	require.EqualValues(t, 9, f.add("mug", now.Add(maxFailureAge-time.Minute)))
	now = now.Add(2 * maxFailureAge)
	require.EqualValues(t, 1, f.add("cup", now))
	require.Len(t, f.byProduct, 1, "they are not kept for ever")
	require.EqualValues(t, 1, f.add("mug", now.Add(time.Second)), "it may have succeeded elsewhere")
	require.True(t, f.clear("mug"))
	require.False(t, f.clear("mug"))
}

func TestNeedsReread_CountsAKeysAgeFromItsFirstUse(t *testing.T) {
	const account, generation = "default", 3
	step := catalog.Step{Kind: catalog.CreatePrice, PriceID: "mug-eur"}
	key := step.IdempotencyKey(account, generation)
	begun := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	observed := &catalogv1.Observed{}
	for hours := range 48 {
		now := begun.Add(time.Duration(hours) * time.Hour)
		planned := []plannedStep{{step, key, generation}}
		require.Equal(t, hours > 23, needsReread(planned, observed, now),
			"hour %d: Stripe may forget a key 24 hours after the first call", hours)
		catalog.RecordIntents(observed, &catalogv1.Intent{
			IdempotencyKey: key, At: timestamppb.New(now), FirstAt: firstUse(observed, key, now),
			Generation: generation,
		})
	}
	observed.Intents[0].Settled = true
	again := begun.Add(100 * time.Hour)
	require.Equal(t, again, firstUse(observed, key, again).AsTime(),
		"of a call whose outcome is known nothing has to be remembered")
}
