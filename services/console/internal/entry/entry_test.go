package entry_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/console/internal/entry"
)

func TestText_SaysEachThingOnce(t *testing.T) {
	t.Parallel()
	change := []*controlv1.FieldChange{{Field: "name", Old: "Mug", New: "Cup"}, {Field: "url", Old: "x"}}
	difference := []*meshv1.Difference{{Field: "prices.a.unit_amount", Catalog: "1", CatalogWords: "0.01 EUR"}}
	for want, e := range map[string]*controlv1.HistoryEntry{
		"name: “Mug” → “Cup”; url: “x” → nothing": {
			Kind: "catalog_change", Detail: "wal; upsert; update products", Changes: change,
		},
		"removed from the tables": {Kind: "catalog_change", Detail: "removed from the tables"},
		"prices.a.unit_amount: 0.01 EUR in the catalog, nothing in Stripe": {
			Kind: "drifted", Detail: "says the same", Differences: difference,
		},
		"a slip; prices.a.unit_amount: 0.01 EUR in the catalog, nothing in Stripe": {
			Kind: "rejected", Detail: "a slip", Differences: difference,
		},
		"create price a; until noon": {
			Kind: "applied", Detail: "says the same", Steps: []*meshv1.AppliedStep{{Step: "create price a"}},
			Note: "until noon",
		},
	} {
		require.Equal(t, want, entry.Text(e))
	}
}

func TestBy_PrefersTheActor(t *testing.T) {
	t.Parallel()
	require.Equal(t, "ann", entry.By(&controlv1.HistoryEntry{Actor: "ann", CausedBy: "dashboard"}))
	require.Equal(t, "somebody at Stripe's dashboard", entry.By(&controlv1.HistoryEntry{CausedBy: "dashboard"}))
	require.Empty(t, entry.By(&controlv1.HistoryEntry{}))
}
