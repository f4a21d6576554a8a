package state_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/mesh/meshtest"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

func TestLatest_ReturnsHighestVersionOfBothLanes(t *testing.T) {
	m := meshtest.Start(t)
	stores := state.New(m)
	newest, err := stores.Desired().Latest(t.Context(), "default", "p/1")
	require.NoError(t, err)
	require.Nil(t, newest)
	for _, c := range []struct {
		lane          topology.Lane
		version, want uint64
	}{
		{topology.Bulk, 10, 10},
		{topology.Live, 20, 20},
		// It was read before the live change, and published after it.
		{topology.Bulk, 15, 20},
		{topology.Bulk, 30, 30},
	} {
		meshtest.Publish(t, m, c.lane, "p/1", c.version)
		newest, err := stores.Desired().Latest(t.Context(), "default", "p/1")
		require.NoError(t, err)
		require.Equal(t, c.want, newest.GetVersion())
	}
	last, err := stores.Desired().LastLive(t.Context(), "default")
	require.NoError(t, err)
	require.EqualValues(t, 20, last)
	tokens, err := stores.Desired().Products(t.Context(), "default")
	require.NoError(t, err)
	require.Equal(t, []string{topology.Token("p/1")}, tokens)
}
