package view

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

func TestRates_MeasureTheLastHalfMinute(t *testing.T) {
	r, start := &rates{}, time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	require.Zero(t, r.perSecond(topology.PushBulk), "nothing is known")
	delivered := uint64(0)
	for i := range 100 {
		if i >= 50 {
			delivered += 20
		}
		r.add(start.Add(time.Duration(i)*time.Second),
			[]mesh.ConsumerStatus{{Consumer: topology.PushBulk, Delivered: delivered}})
	}
	require.InDelta(t, 20, r.perSecond(topology.PushBulk), 0.1)
	require.Zero(t, r.perSecond(topology.PushLive))
	r.add(start.Add(101*time.Second), nil)
	require.Zero(t, r.perSecond(topology.PushBulk), "a consumer that was created again counts from 0")
}
