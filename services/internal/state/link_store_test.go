package state_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/mesh/meshtest"
	"github.com/driftless-sync/driftless/services/internal/state"
)

func TestLinkStore_LinksAndUnlinks(t *testing.T) {
	t.Parallel()
	store := state.New(meshtest.Start(t)).Links()
	require.NoError(t, store.Put(t.Context(), "eu", "prod.1", "mug/XL"))
	require.NoError(t, store.Put(t.Context(), "us", "prod.1", "cup"))

	links, err := store.Watch(t.Context(), "eu")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- links.Follow(ctx) }()
	require.Equal(t, "mug/XL", links.Product("prod.1"))
	require.Equal(t, "prod_2", links.Product("prod_2"), "what is linked to nothing stands for itself")

	require.NoError(t, store.Put(t.Context(), "eu", "prod.1", "mug/XL"), "twice is once")
	require.ErrorIs(t, store.Put(t.Context(), "eu", "prod.1", "cup"), state.ErrLinked)
	require.NoError(t, store.Delete(t.Context(), "eu", "prod.1", "cup"), "another's link stays")
	product, err := store.Product(t.Context(), "eu", "prod.1")
	require.NoError(t, err)
	require.Equal(t, "mug/XL", product)

	require.NoError(t, store.Put(t.Context(), "eu", "prod_2", "cup"))
	require.Eventually(t, func() bool { return links.Product("prod_2") == "cup" }, 30*time.Second, 5*time.Millisecond)
	require.NoError(t, store.Delete(t.Context(), "eu", "prod.1", "mug/XL"))
	require.Eventually(t, func() bool { return links.Product("prod.1") == "prod.1" }, 30*time.Second,
		5*time.Millisecond)
	product, err = store.Product(t.Context(), "eu", "prod.1")
	require.NoError(t, err)
	require.Empty(t, product)
	require.NoError(t, store.Put(t.Context(), "eu", "prod.1", "cup"), "what was unlinked can be linked again")
	cancel()
	require.NoError(t, <-done)
}
