package watch_test

import (
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/ingestion/internal/wal"
	"github.com/driftless-sync/driftless/services/ingestion/internal/watch"
	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
)

// shop returns a database in which a price reaches its product through two joins.
func shop(t *testing.T) *pgxpool.Pool {
	t.Helper()
	pool := localtest.Pool(t, localtest.Postgres(t))
	for _, statement := range []string{
		`CREATE TABLE price (id int PRIMARY KEY, price_set_id uuid, cents int)`,
		`CREATE TABLE variant (id int PRIMARY KEY, "productId" text, price_set_id uuid)`,
		`CREATE TABLE post (id int PRIMARY KEY, kind text, code char(8))`,
		`INSERT INTO variant VALUES (1, 'mug', '11111111-1111-1111-1111-111111111111'), (2, 'cup', '22222222-2222-2222-2222-222222222222'),
			(3, 'pot', '22222222-2222-2222-2222-222222222222')`,
	} {
		_, err := pool.Exec(t.Context(), statement)
		require.NoError(t, err)
	}
	return pool
}

func row(table, entry int, values ...any) wal.Lookup {
	l := wal.Lookup{Table: table, Entry: entry}
	for _, v := range values {
		if text, ok := v.(string); ok {
			l.Values = append(l.Values, &text)
		} else {
			l.Values = append(l.Values, nil)
		}
	}
	return l
}

func TestProducts_FindsThemByQuery(t *testing.T) {
	pool := shop(t)
	s, found, err := watch.Compile(t.Context(), pool, []config.WatchedTable{{
		Table:    "price",
		Products: `SELECT v."productId" FROM variant v WHERE v.price_set_id = @price_set_id -- not '@id';`,
	}})
	require.NoError(t, err)
	require.Empty(t, found)
	require.Equal(t, []string{"price_set_id"}, s.Tables[0].Columns, "the log must have it of old rows too")
	concerned, err := s.Products(t.Context(), pool, []wal.Lookup{
		row(0, 0, "22222222-2222-2222-2222-222222222222"), row(0, 0, nil),
		row(0, 0, "{11111111-1111-1111-1111-111111111111}"),
		row(0, 0, "33333333-3333-3333-3333-333333333333"), row(0, 0, "22222222-2222-2222-2222-222222222222"),
	})
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"mug", "cup", "pot"}, concerned.IDs)
	require.Empty(t, concerned.Uncertain)
}

func TestProducts_EvaluatesExpressionsAndConditions(t *testing.T) {
	pool := shop(t)
	s, found, err := watch.Compile(t.Context(), pool, []config.WatchedTable{
		{Table: "post", ProductID: "'post-' || id", Where: "kind IN ('product', 'bundle')"},
		{Table: "post", ProductID: "code", Where: "kind = 'coded'"},
		{Table: "variant", ProductID: "productId"},
		{Table: "variant", ProductID: `"productId"`},
	})
	require.NoError(t, err)
	require.Empty(t, found)
	require.Len(t, s.Tables, 2, "a table that is watched twice is one table")
	require.Equal(t, []string{"code", "id", "kind"}, s.Tables[0].Columns)
	require.Contains(t, s.Tables[0].Filter, "OR")
	require.Equal(t, []wal.Entry{{Product: "productId"}, {Product: "productId"}}, s.Tables[1].Entries)
	require.Equal(t, []string{"id", "kind"}, s.Tables[0].Entries[0].Columns)
	concerned, err := s.Products(t.Context(), pool, []wal.Lookup{
		row(0, 0, "1", "product"), row(0, 0, "2", "order"), row(0, 0, "3", nil), row(0, 1, "mug     ", "coded"),
	})
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"post-1", "mug"}, concerned.IDs)
}

func TestProducts_ReportsFailingRowAsUncertain(t *testing.T) {
	pool := shop(t)
	s, found, err := watch.Compile(t.Context(), pool,
		[]config.WatchedTable{{Table: "price", ProductID: "(100 / cents)::text"}})
	require.NoError(t, err)
	require.Empty(t, found)
	concerned, err := s.Products(t.Context(), pool,
		[]wal.Lookup{row(0, 0, "1"), row(0, 0, "0"), row(0, 0, "2"), row(0, 0, "5"), row(0, 0, "0")})
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"100", "50", "20"}, concerned.IDs)
	require.Len(t, concerned.Uncertain, 2)
	require.Contains(t, concerned.Uncertain[0], "division by zero")
}

func TestProducts_FailsWhenQueryFailsForAll(t *testing.T) {
	pool := shop(t)
	s, _, err := watch.Compile(t.Context(), pool,
		[]config.WatchedTable{{
			Table:    "price",
			Products: `SELECT "productId" FROM variant WHERE price_set_id = @price_set_id`,
		}})
	require.NoError(t, err)
	_, err = pool.Exec(t.Context(), `ALTER TABLE variant RENAME COLUMN price_set_id TO set_id`)
	require.NoError(t, err)
	_, err = s.Products(t.Context(), pool, []wal.Lookup{row(0, 0, "22222222-2222-2222-2222-222222222222")})
	require.ErrorContains(t, err, `column "price_set_id" does not exist`)
}

func TestCompile_ReportsFaults(t *testing.T) {
	pool := shop(t)
	for name, c := range map[string]struct {
		entry config.WatchedTable
		want  string
	}{
		"missing table": {
			config.WatchedTable{Table: "prices", ProductID: "id"},
			"watched table prices does not exist",
		},
		"no table's name":   {config.WatchedTable{Table: "a b c", ProductID: "id"}, "does not exist"},
		"missing column":    {config.WatchedTable{Table: "price", ProductID: "sku"}, "has no column sku"},
		"missing parameter": {config.WatchedTable{Table: "price", Products: "SELECT 1 WHERE 1 = @sku"}, "uses @sku"},
		"no parameter":      {config.WatchedTable{Table: "price", Products: "SELECT 1"}, "uses no column of the row"},
		"wrong query": {config.WatchedTable{
			Table:    "price",
			Products: "SELECT nothing FROM variant WHERE id = @id",
		}, "is refused by Postgres"},
		"wrong condition": {
			config.WatchedTable{Table: "price", ProductID: "id", Where: "kind = 'x'"},
			"is refused by Postgres",
		},
		"injected statement": {
			config.WatchedTable{Table: "price", ProductID: "id) FROM price; DROP TABLE price; --"},
			"is refused by Postgres",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, found, err := watch.Compile(t.Context(), pool, []config.WatchedTable{c.entry})
			require.NoError(t, err)
			require.ErrorContains(t, found.Err(), c.want)
		})
	}
}

func TestProducts_TreatsErrorsOfValuesAsOneRow(t *testing.T) {
	pool := shop(t)
	_, err := pool.Exec(t.Context(), `CREATE DOMAIN small AS int CHECK (value < 10)`)
	require.NoError(t, err)
	for name, expression := range map[string]string{
		"domain": "(cents::small)::text", "regclass": "('t' || cents)::regclass::text",
		"tsquery": "(cents || ' &')::tsquery::text",
	} {
		s, found, err := watch.Compile(t.Context(), pool,
			[]config.WatchedTable{{Table: "price", ProductID: expression}})
		require.NoError(t, err, name)
		require.Empty(t, found, name)
		concerned, err := s.Products(t.Context(), pool, []wal.Lookup{row(0, 0, "100"), row(0, 0, "200")})
		require.NoError(t, err, name)
		require.NotEmpty(t, concerned.Uncertain, name)
	}
}

func TestCompile_RefusesTableAndItsPartition(t *testing.T) {
	pool := shop(t)
	_, err := pool.Exec(t.Context(),
		`CREATE TABLE whole (id int) PARTITION BY LIST (id); CREATE TABLE part PARTITION OF whole FOR VALUES IN (1)`)
	require.NoError(t, err)
	_, found, err := watch.Compile(t.Context(), pool,
		[]config.WatchedTable{{Table: "part", ProductID: "id"}, {Table: "whole", ProductID: "id"}})
	require.NoError(t, err)
	require.ErrorContains(t, found.Err(), "watch only one of them")
}
