package state_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/mesh/meshtest"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// The server filters if few entries belong to the account, and the client if most do.
func TestRange_YieldsEntriesOfAccountInOrder(t *testing.T) {
	t.Parallel()
	m := meshtest.Start(t)
	stores := state.New(m)
	want := map[string][]string{}
	for i := range 50 {
		account := "default"
		if i%25 == 24 {
			account = "other"
		}
		product := fmt.Sprint("p", i)
		_, err := stores.Observed().Update(t.Context(), account, product, oneMore)
		require.NoError(t, err)
		want[account] = append(want[account], product)
	}
	end, err := stores.Observed().Revision(t.Context())
	require.NoError(t, err)
	_, err = stores.Observed().Update(t.Context(), "default", "later", oneMore)
	require.NoError(t, err)
	for account, products := range want {
		var got []string
		last := uint64(0)
		for entry, err := range stores.Observed().Range(t.Context(), account, 1, end) {
			require.NoError(t, err)
			require.Greater(t, entry.Revision, last)
			last = entry.Revision
			got = append(got, entry.Observed.GetProductId())
		}
		require.Equal(t, products, got, account)
		n, err := stores.Observed().Count(t.Context(), account)
		require.NoError(t, err)
		require.GreaterOrEqual(t, n, uint64(len(products)))
	}
	for _, err := range stores.Observed().Range(t.Context(), "nobody", 1, end) {
		require.NoError(t, err)
		require.Fail(t, "an account without entries has one")
	}
	require.NoError(t, m.JetStream().DeleteKeyValue(t.Context(), topology.BucketObserved))
	for _, err := range stores.Observed().Range(t.Context(), "default", 1, end) {
		require.Error(t, err, "a bucket that is gone is not an empty one")
	}
}

// One damaged entry does not hide the others.
func TestObservedStore_ReportsEntriesThatCannotBeDecoded(t *testing.T) {
	t.Parallel()
	m := meshtest.Start(t)
	store := state.New(m).Observed()
	for _, product := range []string{"a", "c"} {
		_, err := store.Update(t.Context(), "default", product, oneMore)
		require.NoError(t, err)
	}
	_, err := m.JetStream().Publish(t.Context(), "$KV."+topology.BucketObserved+".default.b", []byte{0xff})
	require.NoError(t, err)
	_, _, err = store.Get(t.Context(), "default", "b")
	require.ErrorIs(t, err, state.ErrUndecodable)
	many, err := store.GetMany(t.Context(), "default", []string{"a", "b", "c"})
	require.NoError(t, err)
	byToken, err := store.ByToken(t.Context(), "default", []string{"a", "b", "c"})
	require.NoError(t, err)
	require.Equal(t, many, byToken)
	ranged := map[string]state.ObservedEntry{}
	for e, err := range store.Range(t.Context(), "default", 1, many[1].Revision) {
		require.NoError(t, err)
		ranged[e.Observed.GetProductId()] = e
	}
	for i, product := range []string{"a", "b", "c"} {
		require.Equal(t, product, many[i].Observed.GetProductId())
		require.NotZero(t, many[i].Revision)
		require.Equal(t, product == "b", errors.Is(many[i].Undecodable, state.ErrUndecodable))
		require.Zero(t, many[1].Observed.GetGeneration())
		require.Equal(t, product == "b", errors.Is(ranged[product].Undecodable, state.ErrUndecodable))
		require.Equal(t, many[i].Revision, ranged[product].Revision)
	}
}
