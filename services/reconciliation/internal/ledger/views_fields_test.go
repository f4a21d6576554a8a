package ledger_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
)

// The views are written column by column. This test fails when the contract has a new field.
func TestViews_HaveEveryField(t *testing.T) {
	t.Parallel()
	url := database(t)
	open(t, t.Context(), url, "default").Close()
	pool := localtest.Pool(t, url)
	for view, fields := range map[string][]catalog.Field{
		"stripe_products": catalog.ProductFields(), "catalog_products": catalog.ProductFields(),
		"stripe_prices": catalog.PriceFields(), "catalog_prices": catalog.PriceFields(),
	} {
		rows, err := pool.Query(t.Context(), `SELECT column_name::text FROM information_schema.columns
			WHERE table_schema = 'driftless_ledger' AND table_name = $1`, view)
		require.NoError(t, err)
		columns, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		var names []string
		for _, f := range fields {
			names = append(names, f.Name)
		}
		require.Subset(t, columns, names, "add the column to driftless_ledger.%s in a new migration", view)
	}
}
