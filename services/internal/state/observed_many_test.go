package state_test

import (
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
