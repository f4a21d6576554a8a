package ingestion

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/local/localtest"
)

func TestConnect_UsesCustomPlans(t *testing.T) {
	t.Parallel()
	pool, err := connect(t.Context(), Config{DatabaseURL: localtest.Postgres(t)})
	require.NoError(t, err)
	defer pool.Close()
	_, err = pool.Exec(t.Context(), "CREATE TABLE product (id text PRIMARY KEY)")
	require.NoError(t, err)
	conn, err := pool.Acquire(t.Context())
	require.NoError(t, err)
	defer conn.Release()
	// After five executions Postgres would otherwise compare the costs and choose a generic plan.
	ids := make([]string, 1000)
	for range 10 {
		_, err := conn.Exec(t.Context(), "SELECT FROM product WHERE id = ANY($1::text[])", ids)
		require.NoError(t, err)
	}
	var generic, custom int
	require.NoError(t, conn.QueryRow(t.Context(), `SELECT generic_plans, custom_plans FROM pg_prepared_statements
		WHERE statement LIKE '%ANY($1::text[])'`).Scan(&generic, &custom))
	require.Zero(t, generic)
	require.Equal(t, 10, custom)
}
