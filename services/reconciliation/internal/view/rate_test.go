package view

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

func TestRates_PerSecond(t *testing.T) {
	t.Parallel()
	r := &rates{}
	consumers := func(delivered, inFlight uint64) []mesh.ConsumerStatus {
		return []mesh.ConsumerStatus{
			{Consumer: topology.PushLive, Delivered: delivered, InFlight: inFlight},
			{Consumer: topology.PushBulk},
		}
	}
	r.add(second(0), consumers(100, 10))
	r.add(second(1), consumers(110, 10))
	_, ok := r.perSecond(topology.PushLive)
	require.False(t, ok, "a second is too short")
	r.add(second(4), consumers(140, 10))
	rate, ok := r.perSecond(topology.PushLive, topology.PushBulk)
	require.True(t, ok)
	require.InDelta(t, 10, rate, 0.001)
	rate, ok = r.perSecond(topology.PushBulk)
	require.True(t, ok)
	require.Zero(t, rate)

	// What is delivered and in flight is not finished.
	stuck := &rates{}
	stuck.add(second(0), consumers(100, 0))
	stuck.add(second(10), consumers(150, 50))
	rate, _ = stuck.perSecond(topology.PushLive)
	require.Zero(t, rate)

	for n := 5; n < 120; n++ {
		r.add(second(n), consumers(140, 10))
	}
	require.LessOrEqual(t, len(r.samples), 25)
	rate, _ = r.perSecond(topology.PushLive)
	require.Zero(t, rate, "nothing was finished lately")
	r.add(second(1), consumers(140, 10))
	require.Len(t, r.samples, 1, "the clock went back")
	r.add(second(1).Add(time.Millisecond), consumers(140, 10))
	require.Len(t, r.samples, 1)
}
