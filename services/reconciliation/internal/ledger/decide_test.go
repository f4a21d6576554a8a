package ledger_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// state is a product whose three fields have one text.
func state(id, text string) *catalogv1.Product {
	return &catalogv1.Product{Id: id, Name: text, Description: text, UnitLabel: text, Active: proto.Bool(true)}
}

// desireState sets what the catalog wants of a product: all three fields "A".
func (b *bench) desireState(id string) {
	b.t.Helper()
	require.NoError(b.t, b.Apply(b.t.Context(), ledger.DesiredChange(&catalogv1.ProductChange{
		Account:   "default",
		ProductId: id,
		Version:   1,
		Operation: catalogv1.Operation_OPERATION_UPSERT,
		Product:   state(id, "A"),
	}, at(1), ledger.Entry{})))
}

// observeState tells that Stripe has had these texts in a product's three fields, one after the other.
func (b *bench) observeState(id string, texts ...string) {
	b.t.Helper()
	for i, text := range texts {
		require.NoError(b.t, b.Apply(b.t.Context(), ledger.ObservedChange(&catalogv1.Observed{
			Account:   "default",
			ProductId: id,
			Version:   1,
			Product:   state(id, text),
		}, at(uint64(i+1)))))
	}
}

// A page ends with a whole product, so that the next one can continue after it.
func TestDrifts_NeverCutsProduct(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	for _, id := range []string{"cup", "mug", "plate"} {
		b.desireState(id)
		b.observeState(id, "A", "by hand")
	}
	for limit := 1; limit <= 9; limit++ {
		var listed []string
		of := ledger.DriftFilter{}
		for more := true; more; {
			var page []*ledger.Drift
			var err error
			page, more, err = b.Drifts(t.Context(), of, limit)
			require.NoError(t, err)
			require.NotEmpty(t, page, "there is more only if there is some")
			for _, d := range page {
				listed = append(listed, d.Product+" "+d.Field)
				of.After = d.Product
			}
		}
		require.Equal(t, []string{
			"cup description", "cup name", "cup unit_label", "mug description", "mug name", "mug unit_label",
			"plate description", "plate name", "plate unit_label",
		}, listed, "at most about %d at a time", limit)
	}
	for _, settled := range []bool{false, true} {
		page, more, err := b.Drifts(t.Context(), ledger.DriftFilter{Products: []string{"mug"}, Settled: settled}, 1)
		require.NoError(t, err)
		require.False(t, more)
		require.Len(t, page, 3)
	}
}

// A product with nothing but settled drift is not lost behind one whose open drift fills a page.
func TestDrifts_ListsSettledDriftOfEveryProduct(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	products := []string{"bowl", "cup", "mug"}
	for _, id := range products {
		b.desireState(id)
	}
	b.observeState("bowl", "A", "by hand")
	b.observeState("cup", "A", "by hand", "A", "by hand")
	b.observeState("mug", "A", "by hand", "A")
	for limit := 1; limit <= 13; limit++ {
		open, settled := map[string]int{}, map[string]int{}
		of := ledger.DriftFilter{Products: products, Settled: true}
		for more := true; more; {
			var page []*ledger.Drift
			var err error
			page, more, err = b.Drifts(t.Context(), of, limit)
			require.NoError(t, err)
			for _, d := range page {
				if of.After = d.Product; d.SettledAt.IsZero() {
					open[d.Product]++
				} else {
					settled[d.Product]++
				}
			}
		}
		require.Equal(t, map[string]int{"bowl": 3, "cup": 3}, open, "at most about %d at a time", limit)
		require.Subset(t, []string{"cup", "mug"}, slices.Collect(maps.Keys(settled)))
		require.Len(t, settled, 2, "at most about %d at a time", limit)
		for id, n := range settled {
			require.GreaterOrEqual(t, n, min(limit, 3)-open[id], "at most about %d at a time", limit)
		}
	}
}
