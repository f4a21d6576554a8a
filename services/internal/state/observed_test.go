package state_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/mesh/meshtest"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

const patience = meshtest.Patience

func TestObservedStore_ComparesAndSets(t *testing.T) {
	stores := state.New(meshtest.Start(t))
	store := stores.Observed()
	o, revision, err := store.Get(t.Context(), "default", "p")
	require.NoError(t, err)
	require.Zero(t, revision)
	require.Equal(t, "p", o.GetProductId())

	const writers, each = 8, 20
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range each {
				_, err := store.Update(context.WithoutCancel(t.Context()), "default", "p",
					func(o *catalogv1.Observed) error {
						o.Generation++
						return nil
					})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	o, revision, err = store.Get(t.Context(), "default", "p")
	require.NoError(t, err)
	require.EqualValues(t, writers*each, o.GetGeneration(), "no update may be lost")

	_, err = store.UpdateAt(t.Context(), "default", "p", revision-1, func(*catalogv1.Observed) error { return nil })
	require.ErrorIs(t, err, state.ErrConflict)
	_, err = store.UpdateAt(t.Context(), "default", "p", revision,
		func(*catalogv1.Observed) error { return state.ErrNoChange })
	require.NoError(t, err)
	_, err = store.UpdateAt(t.Context(), "default", "p", revision,
		func(o *catalogv1.Observed) error { o.Generation = 7; return nil })
	require.NoError(t, err)
}

func TestObservedStore_WritesAfterKeyWasRemoved(t *testing.T) {
	m := meshtest.Start(t)
	stores := state.New(m)
	set := func(o *catalogv1.Observed) error { o.Generation++; return nil }
	_, err := stores.Observed().Update(t.Context(), "default", "p", set)
	require.NoError(t, err)
	kv, err := m.JetStream().KeyValue(t.Context(), topology.BucketObserved)
	require.NoError(t, err)
	require.NoError(t, kv.Delete(t.Context(), "default.p"))
	o, err := stores.Observed().Update(t.Context(), "default", "p", set)
	require.NoError(t, err)
	require.EqualValues(t, 1, o.GetGeneration())
}

func TestObservedStore_CountsProductsOfAccount(t *testing.T) {
	stores := state.New(meshtest.Start(t))
	for _, key := range []string{"default/a", "default/b", "other/a"} {
		account, product, _ := strings.Cut(key, "/")
		for range 2 {
			_, err := stores.Observed().Update(t.Context(), account, product,
				func(o *catalogv1.Observed) error { o.Generation++; return nil })
			require.NoError(t, err)
		}
	}
	n, err := stores.Observed().Count(t.Context(), "default")
	require.NoError(t, err)
	require.EqualValues(t, 2, n)
}

func TestGetMany_ReturnsEntriesInOrder(t *testing.T) {
	stores := state.New(meshtest.Start(t))
	store := stores.Observed()
	for e, err := range store.Range(t.Context(), "default", 0, 100) {
		require.Fail(t, "an empty bucket has entries", "%v %v", e, err)
	}
	products := []string{"absent"}
	for i := range 40 {
		id := fmt.Sprintf("p/%d", i)
		products = append(products, id)
		_, err := store.Update(t.Context(), "default", id,
			func(o *catalogv1.Observed) error { o.Version = uint64(i); return nil })
		require.NoError(t, err)
	}
	_, err := store.Update(t.Context(), "other", "p", func(o *catalogv1.Observed) error { o.Version = 99; return nil })
	require.NoError(t, err)
	entries, err := store.GetMany(t.Context(), "default", products)
	require.NoError(t, err)
	require.Zero(t, entries[0].Revision)
	require.Equal(t, "absent", entries[0].Observed.GetProductId())
	for i, e := range entries[1:] {
		require.Equal(t, products[i+1], e.Observed.GetProductId())
		require.EqualValues(t, i, e.Observed.GetVersion())
	}
	end, err := store.Revision(t.Context())
	require.NoError(t, err)
	// An entry that is written again moves beyond the end, like a new one.
	_, err = store.Update(t.Context(), "default", "p/3",
		func(o *catalogv1.Observed) error { o.Version = 100; return nil })
	require.NoError(t, err)
	var versions []uint64
	last := uint64(0)
	for e, err := range store.Range(t.Context(), "default", entries[3].Revision, end) {
		require.NoError(t, err)
		require.Greater(t, e.Revision, last)
		last = e.Revision
		versions = append(versions, e.Observed.GetVersion())
	}
	require.Len(t, versions, 37)
	require.NotContains(t, versions, uint64(3))
	require.NotContains(t, versions, uint64(99), "another account's")
	_, err = store.Put(t.Context(), entries[4].Observed, entries[4].Revision)
	require.ErrorIs(t, err, state.ErrConflict)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range store.Range(ctx, "default", 0, end) {
		require.ErrorIs(t, err, context.Canceled)
	}
}

func TestForget_LeavesNoTrace(t *testing.T) {
	t.Parallel()
	stores := state.New(meshtest.Start(t))
	touch := func(id string) {
		_, err := stores.Observed().Update(t.Context(), "default", id, oneMore)
		require.NoError(t, err)
	}
	touch("prod_1")
	touch("prod_10")
	require.NoError(t, stores.Observed().Forget(t.Context(), "default", "prod_1"))
	require.NoError(t, stores.Observed().Forget(t.Context(), "default", "prod_1"))
	o, _, err := stores.Observed().Get(t.Context(), "default", "prod_1")
	require.NoError(t, err)
	require.Zero(t, o.GetGeneration(), "it is unknown at once")
	end, err := stores.Observed().Revision(t.Context())
	require.NoError(t, err)
	for entry, err := range stores.Observed().Range(t.Context(), "default", 1, end) {
		require.NoError(t, err)
		require.Equal(t, "prod_10", entry.Observed.GetProductId())
	}
	require.Eventually(t, func() bool {
		_, revision, err := stores.Observed().Get(t.Context(), "default", "prod_1")
		n, countErr := stores.Observed().Count(t.Context(), "default")
		return err == nil && countErr == nil && revision == 0 && n == 1
	}, patience, 10*time.Millisecond, "the marker goes by itself")
	touch("prod_1")
	require.NoError(t, stores.Observed().Forget(t.Context(), "default", "prod_1"))
	// The marker does not prevent a new state.
	touch("prod_1")
}

// The error names the command that updates the topology.
func TestForget_NamesOutdatedTopology(t *testing.T) {
	t.Parallel()
	m := meshtest.Start(t)
	require.NoError(t, m.JetStream().DeleteKeyValue(t.Context(), topology.BucketObserved))
	_, err := m.JetStream().CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: topology.BucketObserved})
	require.NoError(t, err)
	require.ErrorContains(t, state.New(m).Observed().Forget(t.Context(), "default", "prod_1"),
		"driftless topology apply")
}

func oneMore(o *catalogv1.Observed) error {
	o.Generation++
	return nil
}
