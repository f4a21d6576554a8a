package mesh_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

func TestLinkStore_LinksAndUnlinks(t *testing.T) {
	t.Parallel()
	url, _ := localtest.NATS(t)
	m, err := mesh.Connect(t.Context(), mesh.Config{URL: url, Name: "test"})
	require.NoError(t, err)
	t.Cleanup(m.Close)
	require.NoError(t, topology.Apply(t.Context(), m.JetStream(), topology.Options{}))
	require.NoError(t, m.Links().Put(t.Context(), "eu", "prod.1", "mug/XL"))
	require.NoError(t, m.Links().Put(t.Context(), "us", "prod.1", "cup"))

	links, err := m.Links().Watch(t.Context(), "eu")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- links.Follow(ctx) }()
	require.Equal(t, "mug/XL", links.Product("prod.1"))
	require.Equal(t, "prod_2", links.Product("prod_2"), "what is linked to nothing stands for itself")

	require.NoError(t, m.Links().Put(t.Context(), "eu", "prod.1", "mug/XL"), "twice is once")
	require.ErrorIs(t, m.Links().Put(t.Context(), "eu", "prod.1", "cup"), mesh.ErrLinked)
	require.NoError(t, m.Links().Delete(t.Context(), "eu", "prod.1", "cup"), "another's link stays")
	product, err := m.Links().Product(t.Context(), "eu", "prod.1")
	require.NoError(t, err)
	require.Equal(t, "mug/XL", product)

	require.NoError(t, m.Links().Put(t.Context(), "eu", "prod_2", "cup"))
	require.Eventually(t, func() bool { return links.Product("prod_2") == "cup" }, 30*time.Second, 5*time.Millisecond)
	require.NoError(t, m.Links().Delete(t.Context(), "eu", "prod.1", "mug/XL"))
	require.Eventually(t, func() bool { return links.Product("prod.1") == "prod.1" }, 30*time.Second,
		5*time.Millisecond)
	product, err = m.Links().Product(t.Context(), "eu", "prod.1")
	require.NoError(t, err)
	require.Empty(t, product)
	require.NoError(t, m.Links().Put(t.Context(), "eu", "prod.1", "cup"), "what was unlinked can be linked again")
	cancel()
	require.NoError(t, <-done)
}

func TestForget_LeavesNoTrace(t *testing.T) {
	t.Parallel()
	m := start(t)
	touch := func(id string) {
		_, err := m.Observed().Update(t.Context(), "default", id, oneMore)
		require.NoError(t, err)
	}
	touch("prod_1")
	touch("prod_10")
	require.NoError(t, m.Observed().Forget(t.Context(), "default", "prod_1"))
	require.NoError(t, m.Observed().Forget(t.Context(), "default", "prod_1"))
	o, _, err := m.Observed().Get(t.Context(), "default", "prod_1")
	require.NoError(t, err)
	require.Zero(t, o.GetGeneration(), "it is unknown at once")
	end, err := m.Observed().Revision(t.Context())
	require.NoError(t, err)
	for entry, err := range m.Observed().Range(t.Context(), "default", 1, end) {
		require.NoError(t, err)
		require.Equal(t, "prod_10", entry.Observed.GetProductId())
	}
	require.Eventually(t, func() bool {
		_, revision, err := m.Observed().Get(t.Context(), "default", "prod_1")
		n, countErr := m.Observed().Count(t.Context(), "default")
		return err == nil && countErr == nil && revision == 0 && n == 1
	}, patience, 10*time.Millisecond, "the marker goes by itself")
	touch("prod_1")
	require.NoError(t, m.Observed().Forget(t.Context(), "default", "prod_1"))
	// The marker does not prevent a new state.
	touch("prod_1")
}

// The error names the command that updates the topology.
func TestForget_NamesOutdatedTopology(t *testing.T) {
	t.Parallel()
	m := start(t)
	require.NoError(t, m.JetStream().DeleteKeyValue(t.Context(), topology.BucketObserved))
	_, err := m.JetStream().CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: topology.BucketObserved})
	require.NoError(t, err)
	require.ErrorContains(t, m.Observed().Forget(t.Context(), "default", "prod_1"), "driftless topology apply")
}
