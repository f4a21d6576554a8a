package mesh_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/mesh/meshtest"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

func TestClock_ReturnsServerTime(t *testing.T) {
	m := meshtest.Start(t)
	for _, by := range []time.Duration{0, 10 * time.Minute, -10 * time.Minute} {
		clock := meshtest.WithClock(t, m, by).Clock()
		before := time.Now()
		now, err := clock.Now(t.Context())
		require.NoError(t, err)
		require.WithinRange(t, now, before.Add(-2*time.Second), time.Now().Add(2*time.Second))
		local := clock.Local(now.Add(time.Hour))
		require.WithinDuration(t, time.Now().Add(by+time.Hour), local, 5*time.Second)
	}
	own := &mesh.Clock{}
	now, err := own.Now(t.Context())
	require.NoError(t, err)
	require.WithinDuration(t, time.Now(), now, time.Minute)
	require.Equal(t, now, own.Local(now))
}

func TestClock_PausesAndRetriesIgnoreHostClock(t *testing.T) {
	m := meshtest.Start(t)
	for name, by := range map[string]time.Duration{"ahead": 10 * time.Minute, "behind": -10 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			wrong := meshtest.WithClock(t, m, by)
			require.NoError(t, wrong.Pause(t.Context(), time.Hour, topology.PushLive))
			cons, err := m.JetStream().Consumer(t.Context(), topology.PushLive.Stream,
				topology.PushLive.Durable("default"))
			require.NoError(t, err)
			require.True(t, cons.CachedInfo().Paused)
			require.InDelta(t, time.Hour, cons.CachedInfo().PauseRemaining, float64(2*time.Minute))
			require.NoError(t, wrong.Resume(t.Context(), topology.PushLive))

			retry := &meshv1.Retry{Account: "default", ProductId: name, Version: 1}
			sent := time.Now()
			require.NoError(t, wrong.RetryLater(t.Context(), topology.Push, retry, 3*time.Second))
			due, err := m.JetStream().Stream(t.Context(), topology.StreamRetry)
			require.NoError(t, err)
			var came time.Time
			require.Eventually(t, func() bool {
				msg, err := due.GetLastMsgForSubject(t.Context(), "retry.due.push.default."+name)
				if err == nil {
					came = msg.Time
				}
				return err == nil
			}, time.Minute, 20*time.Millisecond, "a clock that is ahead does not put it off")
			// Schedules are accurate to the second.
			require.Greater(t, came.Sub(sent), time.Second, "a clock that is behind does not have it come at once")
		})
	}
}

func TestClock_CanceledCallDoesNotBlockOthers(t *testing.T) {
	clock := meshtest.WithClock(t, meshtest.Start(t), 0).Clock()
	gone, leave := context.WithCancel(t.Context())
	leave()
	_, err := clock.Now(gone)
	require.Error(t, err)
	_, err = clock.Now(t.Context())
	require.NoError(t, err)
}
