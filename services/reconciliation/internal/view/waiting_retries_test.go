package view

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// TestConvergence_PassesRetriesThatWait has more retries of an adoption than are read at once.
func TestConvergence_PassesRetriesThatWait(t *testing.T) {
	m, r := newReader(t)
	schedule := func(product string, attempts uint64) {
		t.Helper()
		require.NoError(t, m.RetryLater(t.Context(), topology.Push, &meshv1.Retry{
			Account: "default", ProductId: product, Version: 50, Attempts: attempts, Lane: "bulk",
		}, time.Hour))
	}
	var reported time.Time
	report := func() {
		t.Helper()
		now, err := m.Clock().Now(t.Context())
		require.NoError(t, err)
		require.NoError(t, state.New(m).Capture("default").Put(t.Context(), &meshv1.CaptureReport{
			At: timestamppb.New(now), CapturedUpTo: timestamppb.New(now), Version: 100,
			State: meshv1.CaptureState_CAPTURE_STATE_READING,
		}))
		reported = now
	}
	update := func(times int) map[string]time.Time {
		t.Helper()
		for range times {
			require.NoError(t, r.updateLanes(t.Context()))
		}
		_, converged := r.Latest()
		return converged
	}

	for i := range MaxRetries + 20 {
		schedule(fmt.Sprintf("new-%d", i), 0)
	}
	report()
	require.Empty(t, update(1), "others may have failed")
	require.Equal(t, map[string]time.Time{"live": reported, "bulk": reported}, update(3), "push can do no more")

	known := reported
	schedule("mug", 3)
	report()
	require.Equal(t, map[string]time.Time{"live": reported, "bulk": known}, update(3), "what failed is not in Stripe")
	retries, ok := r.LatestRetries()
	require.True(t, ok)
	require.Len(t, retries, 21)
	require.Equal(t, "mug", retries[20].GetProductId())

	// A product that waited fails, and has a retry at an earlier sequence of another stream.
	require.NoError(t, m.JetStream().DeleteStream(t.Context(), topology.StreamRetry))
	require.NoError(t, topology.Apply(t.Context(), m.JetStream(), topology.Options{}))
	schedule("new-7", 3)
	report()
	require.Equal(t, map[string]time.Time{"live": reported, "bulk": known}, update(3))
}
