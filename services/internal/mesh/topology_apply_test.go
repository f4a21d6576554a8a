package mesh_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/mesh/meshtest"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

func TestPlan_IsEmptyAfterApply(t *testing.T) {
	url, _ := localtest.NATS(t)
	m, err := mesh.Connect(t.Context(), mesh.Config{URL: url, Name: "test"})
	require.NoError(t, err)
	t.Cleanup(m.Close)
	require.ErrorContains(t, m.Bind(t.Context(), topology.PushLive), "driftless topology apply")

	diffs, err := topology.Plan(t.Context(), m.JetStream(), topology.Options{})
	require.NoError(t, err)
	require.NotEmpty(t, diffs)
	for _, d := range diffs {
		require.True(t, d.Missing, d)
	}
	require.NoError(t, topology.Apply(t.Context(), m.JetStream(), topology.Options{}))
	diffs, err = topology.Plan(t.Context(), m.JetStream(), topology.Options{})
	require.NoError(t, err)
	require.Empty(t, diffs)
	require.NoError(t, m.Bind(t.Context(), topology.PushLive, topology.ReconciliationObserved))
}

func TestApply_RepairsDifferencesAndKeepsPositions(t *testing.T) {
	m := meshtest.Start(t)
	meshtest.Publish(t, m, topology.Live, "p", 1)
	stream, err := m.JetStream().Stream(t.Context(), topology.StreamCatalog)
	require.NoError(t, err)
	cfg := stream.CachedInfo().Config
	cfg.MaxMsgsPerSubject = 2
	_, err = m.JetStream().UpdateStream(t.Context(), cfg)
	require.NoError(t, err)

	diffs, err := topology.Plan(t.Context(), m.JetStream(), topology.Options{})
	require.NoError(t, err)
	require.Len(t, diffs, 1)
	require.Contains(t, diffs[0].String(), "max messages per subject is 2, declared 16")
	require.NoError(t, topology.Apply(t.Context(), m.JetStream(), topology.Options{}))
	diffs, err = topology.Plan(t.Context(), m.JetStream(), topology.Options{})
	require.NoError(t, err)
	require.Empty(t, diffs)
	newest, err := state.New(m).Desired().Latest(t.Context(), "default", "p")
	require.NoError(t, err)
	require.EqualValues(t, 1, newest.GetVersion())
}
