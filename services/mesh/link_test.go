package mesh_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/local/localtest"
	"github.com/driftless-sync/driftless/services/mesh"
)

func TestLinks(t *testing.T) {
	t.Parallel()
	url, _ := localtest.NATS(t)
	m, err := mesh.Connect(t.Context(), mesh.Config{URL: url, Name: "test"})
	require.NoError(t, err)
	t.Cleanup(m.Close)
	require.NoError(t, mesh.ApplyTopology(t.Context(), m.JetStream(), mesh.TopologyOptions{}))
	require.NoError(t, m.Links().Link(t.Context(), "eu", "prod.1", "mug/XL"))
	require.NoError(t, m.Links().Link(t.Context(), "us", "prod.1", "cup"))

	links, err := m.Links().Watch(t.Context(), "eu")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- links.Follow(ctx) }()
	require.Equal(t, "mug/XL", links.Product("prod.1"))
	require.Equal(t, "prod_2", links.Product("prod_2"), "what is linked to nothing stands for itself")

	require.NoError(t, m.Links().Link(t.Context(), "eu", "prod.1", "mug/XL"), "twice is once")
	require.ErrorIs(t, m.Links().Link(t.Context(), "eu", "prod.1", "cup"), mesh.ErrLinked)
	require.NoError(t, m.Links().Unlink(t.Context(), "eu", "prod.1", "cup"), "another's link stays")
	product, err := m.Links().Product(t.Context(), "eu", "prod.1")
	require.NoError(t, err)
	require.Equal(t, "mug/XL", product)

	require.NoError(t, m.Links().Link(t.Context(), "eu", "prod_2", "cup"))
	require.Eventually(t, func() bool { return links.Product("prod_2") == "cup" }, 30*time.Second, 5*time.Millisecond)
	require.NoError(t, m.Links().Unlink(t.Context(), "eu", "prod.1", "mug/XL"))
	require.Eventually(t, func() bool { return links.Product("prod.1") == "prod.1" }, 30*time.Second, 5*time.Millisecond)
	product, err = m.Links().Product(t.Context(), "eu", "prod.1")
	require.NoError(t, err)
	require.Empty(t, product)
	require.NoError(t, m.Links().Link(t.Context(), "eu", "prod.1", "cup"), "what was unlinked can be linked again")
	cancel()
	require.NoError(t, <-done)
}

func TestWhatIsForgottenLeavesNoTrace(t *testing.T) {
	t.Parallel()
	url, _ := localtest.NATS(t)
	m, err := mesh.Connect(t.Context(), mesh.Config{URL: url, Name: "test"})
	require.NoError(t, err)
	t.Cleanup(m.Close)
	require.NoError(t, mesh.ApplyTopology(t.Context(), m.JetStream(), mesh.TopologyOptions{}))
	touch := func(id string) {
		_, err := m.Observed().Update(t.Context(), "default", id, func(*catalogv1.Observed) error { return nil })
		require.NoError(t, err)
	}
	touch("prod_1")
	touch("prod_10")
	require.NoError(t, m.Observed().Forget(t.Context(), "default", "prod_1"))
	require.NoError(t, m.Observed().Forget(t.Context(), "default", "prod_1"))
	_, revision, err := m.Observed().Get(t.Context(), "default", "prod_1")
	require.NoError(t, err)
	require.Zero(t, revision)
	n, err := m.Observed().Count(t.Context(), "default")
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
	touch("prod_1")
}
