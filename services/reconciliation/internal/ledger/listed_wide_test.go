package ledger_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// plantMostlyInSync stores products. A few are pending, and a few have left the catalog.
const plantMostlyInSync = `INSERT INTO driftless_ledger.product (account, product_id, desired_json, state, gone)
SELECT 'default', 'mug-' || i, CASE WHEN i % 20 <> 1 THEN jsonb_build_object('product', jsonb_build_object(
		'id', 'mug-' || i, 'prices', '[{"id": "x"}]'::jsonb)) END,
	CASE WHEN i % 10 = 0 THEN 'pending' ELSE 'in_sync' END, i % 20 = 1
FROM generate_series(1, 300) i`

// The products of a wide search are classified by what is unusual: notable, or not in the catalog. They are looked up
// one by one if a limit is reached, or if the filter has more than the search. All of that counts the same.
func TestCountFacets_OfWideSearchIsTheSameInAllWays(t *testing.T) {
	t.Parallel()
	url := database(t)
	l := open(t, t.Context(), url, "default")
	t.Cleanup(l.Close)
	pool := localtest.Pool(t, url)
	_, err := pool.Exec(t.Context(), plantMostlyInSync)
	require.NoError(t, err)
	count := func(f ledger.ProductFilter) (total ledger.Count, values map[string]uint64) {
		f.Search = "mug"
		counts, err := l.CountFacets(t.Context(), f)
		require.NoError(t, err)
		values = map[string]uint64{}
		for _, facet := range counts.Facets {
			for _, v := range facet.Values {
				values[facet.Facet+" "+v.Value] = v.N
			}
		}
		return counts.Total, values
	}
	for _, limit := range []int{100, 20} {
		// There are 30 pending products: more than the second limit.
		l.SetMaxFound(limit)
		total, values := count(ledger.ProductFilter{})
		require.True(t, total.IsMinimum)
		pending := uint64(min(limit+1, 30))
		require.GreaterOrEqual(t, total.N, uint64(limit+1), "every product that was found is counted")
		require.Equal(t, pending, values["state pending"])
		require.Equal(t, total.N-pending, values["state in_sync"])
		require.Equal(t, total.N, values["kind catalog"]+values["kind left"])
		require.NotZero(t, values["kind left"], "products with low numbers are found first")

		everything, same := count(ledger.ProductFilter{Kinds: []string{"catalog", "left", "extra"}})
		require.Equal(t, total, everything)
		require.Equal(t, values, same)
		for kind, want := range map[string]uint64{"catalog": values["kind catalog"], "left": values["kind left"]} {
			only, _ := count(ledger.ProductFilter{Kinds: []string{kind}})
			require.Equal(t, ledger.Count{N: want, IsMinimum: true}, only)
		}
	}
}
