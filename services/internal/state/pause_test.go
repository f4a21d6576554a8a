package state_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/mesh/meshtest"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// gated runs work behind the gate of a service, as its processes do, and returns whether it is working.
func gated(t *testing.T, m *mesh.Mesh, service string) (working *atomic.Bool) {
	t.Helper()
	gate, err := state.New(m).Gate(t.Context(), service)
	require.NoError(t, err)
	working = &atomic.Bool{}
	ctx, cancel := context.WithCancel(t.Context())
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return gate.Watch(ctx) })
	g.Go(func() error {
		return gate.Run(ctx, func(ctx context.Context) error {
			working.Store(true)
			defer working.Store(false)
			<-ctx.Done()
			return nil
		})
	})
	t.Cleanup(func() {
		cancel()
		require.NoError(t, g.Wait())
	})
	return working
}

func TestGate_PausesEveryReplicaAcrossRestarts(t *testing.T) {
	m := meshtest.Start(t)
	stores := state.New(m)
	first, second, pull := gated(t, m, topology.Push), gated(t, m, topology.Push), gated(t, m, topology.Pull)
	at := func(want bool, work ...*atomic.Bool) {
		t.Helper()
		for _, w := range work {
			require.Eventually(t, func() bool { return w.Load() == want }, patience, 10*time.Millisecond)
		}
	}
	at(true, first, second, pull)
	_, err := stores.PauseService(t.Context(), topology.Push, 0, "", "")
	require.NoError(t, err)
	at(false, first, second)
	require.True(t, pull.Load())
	paused, err := stores.Paused(t.Context(), topology.Push)
	require.NoError(t, err)
	require.WithinDuration(t, time.Now(), paused.GetSince().AsTime(), time.Minute)
	require.Nil(t, paused.GetUntil())

	// A process that starts meanwhile does not begin to work.
	third := gated(t, m, topology.Push)
	was, err := stores.ResumeService(t.Context(), topology.Pull)
	require.NoError(t, err)
	require.False(t, was)
	require.False(t, third.Load())
	was, err = stores.ResumeService(t.Context(), topology.Push)
	require.NoError(t, err)
	require.True(t, was)
	at(true, first, second, third)
}

func TestGate_ResumesByServerTime(t *testing.T) {
	m := meshtest.Start(t)
	work := gated(t, meshtest.WithClock(t, m, -10*time.Minute), topology.Push)
	_, err := state.New(meshtest.WithClock(t, m, 10*time.Minute)).PauseService(t.Context(), topology.Push,
		3*time.Second, "", "")
	require.NoError(t, err)
	require.Eventually(t, func() bool { return !work.Load() }, patience, 5*time.Millisecond)
	require.Eventually(t, func() bool { return work.Load() }, patience, 10*time.Millisecond)
	require.Eventually(t, func() bool {
		paused, err := state.New(m).Paused(t.Context(), topology.Push)
		return err == nil && paused == nil
	}, patience, 10*time.Millisecond, "for everybody, to within the error of the clocks")
}

func TestGate_ReturnsErrorOfWork(t *testing.T) {
	stores := state.New(meshtest.Start(t))
	gate, err := stores.Gate(t.Context(), topology.Push)
	require.NoError(t, err)
	require.ErrorIs(t, gate.Run(t.Context(), func(context.Context) error { return state.ErrConflict }),
		state.ErrConflict)
	require.NoError(t, gate.Run(t.Context(), func(context.Context) error { return nil }))
}
