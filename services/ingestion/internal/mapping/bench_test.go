package mapping_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/ingestion/internal/mapping"
	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
)

// BenchmarkRead reads a thousand products of a hundred thousand, each with two prices.
func BenchmarkRead(b *testing.B) {
	pool := localtest.Pool(b, localtest.Postgres(b))
	_, err := pool.Exec(b.Context(),
		`CREATE TABLE items (id text PRIMARY KEY, name text, tags jsonb); CREATE TABLE tariffs (id text, item text, cents int);
		INSERT INTO items SELECT 'item-' || i, 'Item', '{"size": "L", "color": null}' FROM generate_series(1, 100000) i;
		INSERT INTO tariffs SELECT 'p-' || i || '-' || j, 'item-' || i, 100 FROM generate_series(1, 100000) i, generate_series(1, 2) j;
		CREATE INDEX ON tariffs (item); ANALYZE`)
	require.NoError(b, err)
	m, err := mapping.New(b.Context(), pool, &config.Mapping{
		Products: `SELECT id, name, tags AS metadata FROM items`,
		Prices:   `SELECT id, item AS product, 'eur' AS currency, cents AS unit_amount FROM tariffs`,
	})
	require.NoError(b, err)
	ids, err := m.IDs(b.Context(), "item-5", 1000)
	require.NoError(b, err)
	for b.Loop() {
		r, err := m.Read(b.Context(), ids)
		require.NoError(b, err)
		require.Len(b, r.States, 1000)
	}
	b.ReportMetric(float64(1000*b.N)/b.Elapsed().Seconds(), "products/s")
}
