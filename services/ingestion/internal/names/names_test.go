package names_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/ingestion/internal/names"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
)

func TestMain(m *testing.M) { localtest.VerifyTestMain(m) }

func TestTable_FindsNamesLikeSQLOrAsWritten(t *testing.T) {
	pool := localtest.Pool(t, localtest.Postgres(t))
	_, err := pool.Exec(t.Context(),
		`CREATE SCHEMA "Shop"; CREATE TABLE "Product" ("productId" text, sku text, "a ""b" int); CREATE TABLE items (id int);
		CREATE TABLE "Shop"."order-lines" (id int); CREATE ROLE reader_of_names`)
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := pool.Exec(context.Background(), `DROP ROLE reader_of_names`)
		require.NoError(t, err)
	})
	for written, table := range map[string]string{
		"Product": `"Product"`, `"Product"`: `"Product"`, "public.Product": `"Product"`,
		`public."Product"`: `"Product"`,
		"items":            "items", "ITEMS": "items", "Shop.order-lines": `"Shop"."order-lines"`,
		`"Shop"."order-lines"`: `"Shop"."order-lines"`,
		"product":              "", "Shop.items": "", "a b c": "", "": "",
	} {
		oid, err := names.Table(t.Context(), pool, written)
		require.NoError(t, err, written)
		var found string
		require.NoError(t,
			pool.QueryRow(t.Context(), "SELECT coalesce((SELECT oid::regclass::text FROM pg_class WHERE oid = $1), '')",
				oid).Scan(&found))
		require.Equal(t, table, found, written)
	}
	oid, err := names.Table(t.Context(), pool, "Product")
	require.NoError(t, err)
	for written, column := range map[string]string{
		"productId": "productId", `"productId"`: "productId", "sku": "sku", "SKU": "sku", `"SKU"`: "", "productid": "",
		`"a ""b"`:         `a "b`,
		"'album-' || sku": "", `"sku" || "sku"`: "",
	} {
		found, err := names.Column(t.Context(), pool, oid, written)
		require.NoError(t, err, written)
		require.Equal(t, column, found, written)
	}

	conn, err := pool.Acquire(t.Context())
	require.NoError(t, err)
	defer conn.Release()
	_, err = conn.Exec(t.Context(), "SET ROLE reader_of_names")
	require.NoError(t, err)
	oid, err = names.Table(t.Context(), conn, `"Shop"."order-lines"`)
	require.NoError(t, err)
	require.NotZero(t, oid, "a schema that may not be used")
	_, err = conn.Exec(t.Context(), "RESET ROLE")
	require.NoError(t, err)
}
