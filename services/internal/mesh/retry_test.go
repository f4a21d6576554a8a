package mesh_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/types/known/timestamppb"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/mesh/meshtest"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

func TestRetryDelay_GrowsWithJitterToFifteenMinutes(t *testing.T) {
	for attempt, most := range map[uint64]time.Duration{
		0: time.Second, 1: time.Second, 2: 2 * time.Second, 5: 16 * time.Second, 10: 512 * time.Second,
		11: 15 * time.Minute, 1 << 40: 15 * time.Minute,
	} {
		seen := map[time.Duration]bool{}
		for range 100 {
			d := mesh.RetryDelay(attempt)
			require.GreaterOrEqual(t, d, most/2, attempt)
			require.Less(t, d, most, attempt)
			seen[d] = true
		}
		require.Greater(t, len(seen), 50, "delays must be spread")
	}
}

func TestRetryLater_ComesDueUnlessCanceled(t *testing.T) {
	m := meshtest.Start(t)
	const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	failing := telemetry.ContextWithTraceparent(t.Context(), traceparent)
	later := func(product string, version uint64) {
		require.NoError(t,
			m.RetryLater(failing, topology.Push,
				&meshv1.Retry{Account: "default", ProductId: product, Version: version}, 2*time.Second))
	}
	later("a", 10)
	later("b", 10)
	later("b", 20)
	later("c", 20)
	require.NoError(t, m.CancelRetry(t.Context(), topology.Push, "default", "a", 10, false))
	require.NoError(t, m.CancelRetry(t.Context(), topology.Push, "default", "c", 10, true),
		"it is about a newer version")
	require.NoError(t, m.CancelRetry(t.Context(), topology.Push, "default", "none", 10, false))
	n, err := m.RetryingCount(t.Context(), topology.Push, "default")
	require.NoError(t, err)
	require.EqualValues(t, 2, n)
	require.NoError(t,
		m.RetryLater(t.Context(), topology.Push,
			&meshv1.Retry{Account: "default", ProductId: "d", Version: 10, Look: true}, time.Hour))
	require.NoError(t, m.CancelRetry(t.Context(), topology.Push, "default", "d", 10, false))
	retrying, err := m.Retrying(t.Context(), topology.Push, "default", "d")
	require.NoError(t, err)
	require.True(t, retrying, "a look that was asked for is still to be taken")
	require.NoError(t, m.CancelRetry(t.Context(), topology.Push, "default", "d", 10, true))
	retrying, err = m.Retrying(t.Context(), topology.Push, "default", "d")
	require.NoError(t, err)
	require.False(t, retrying)

	due := make(chan string, 10)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- mesh.Consume(ctx, m, mesh.Worker{Service: topology.Push, Consumer: topology.PushRetry},
			func(ctx context.Context, msg mesh.Message[*meshv1.Retry]) mesh.Verdict {
				due <- fmt.Sprint(msg.Body.GetProductId(), msg.Body.GetVersion(), " ",
					trace.SpanContextFromContext(ctx).TraceID())
				return mesh.Ack()
			})
	}()
	const inTrace = " 0af7651916cd43dd8448eb211c80319c"
	require.ElementsMatch(t, []string{"b20" + inTrace, "c20" + inTrace}, []string{<-due, <-due},
		"in the trace of what failed")
	localtest.Holds(t, 1500*time.Millisecond, func() bool { return len(due) == 0 },
		"each once, and what was taken back not at all")
	cancel()
	require.NoError(t, <-done)
}

func TestRetryLater_KeepsSinceWhenTheProductFails(t *testing.T) {
	m := meshtest.Start(t)
	noon := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	for _, since := range []time.Time{noon, noon.Add(time.Hour)} {
		// The second process has not seen the failures of the first.
		require.NoError(t, m.RetryLater(t.Context(), topology.Push, &meshv1.Retry{
			Account: "default", ProductId: "a", Version: 10, FailingSince: timestamppb.New(since),
		}, time.Hour))
	}
	retry, err := m.RetryOf(t.Context(), topology.Push, "default", "a")
	require.NoError(t, err)
	require.Equal(t, noon, retry.GetFailingSince().AsTime())
}

func TestSyncAt_IsIndependentOfRetries(t *testing.T) {
	s := meshtest.NewSigners(t)
	push, rec := s.Clients[topology.Push], s.Clients[topology.Reconciliation]
	later := func() *meshv1.Retry { return &meshv1.Retry{Account: "default", ProductId: "mug", Version: 7} }
	require.NoError(t, push.RetryLater(t.Context(), topology.Push, later(), time.Hour))
	due := time.Now().Add(1500 * time.Millisecond)
	require.NoError(t, push.SyncAt(t.Context(), later(), due))
	require.NoError(t, push.CancelRetry(t.Context(), topology.Push, "default", "mug", 7, false))
	retrying, err := rec.Retrying(t.Context(), topology.Push, "default", "mug")
	require.NoError(t, err)
	require.False(t, retrying, "a sync at a time is no retry")
	n, err := rec.RetryingCount(t.Context(), topology.Push, "default")
	require.NoError(t, err)
	require.Zero(t, n)

	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	var got *meshv1.Retry
	require.NoError(t, mesh.Consume(ctx, push, mesh.Worker{Service: topology.Push, Consumer: topology.PushRetry},
		func(_ context.Context, msg mesh.Message[*meshv1.Retry]) mesh.Verdict {
			got = msg.Body
			stop()
			return mesh.Ack()
		}))
	require.Equal(t, "mug", got.GetProductId(), "its signature is accepted")
	require.False(t, time.Now().Before(due), "it is not early")
}
