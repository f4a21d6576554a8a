package introspect_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/introspect"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/proposal"
)

func connect(t *testing.T, sql string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), localtest.Postgres(t))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	_, err = conn.Exec(t.Context(), sql)
	require.NoError(t, err)
	return conn
}

func read(t *testing.T, conn *pgx.Conn, schemas ...string) *proposal.Database {
	t.Helper()
	db, err := introspect.Read(t.Context(), conn, introspect.Options{Schemas: schemas})
	require.NoError(t, err)
	return db
}

func tableOf(t *testing.T, db *proposal.Database, name string) *proposal.Table {
	t.Helper()
	for _, table := range db.Tables {
		if table.Name == name {
			return table
		}
	}
	require.Fail(t, "no table "+name)
	return nil
}

func columnOf(t *testing.T, table *proposal.Table, name string) *proposal.Column {
	t.Helper()
	for _, c := range table.Columns {
		if c.Name == name {
			return c
		}
	}
	require.Fail(t, "no column "+name)
	return nil
}

func TestRead(t *testing.T) {
	t.Parallel()
	conn := connect(t,
		`CREATE SCHEMA shop; CREATE SCHEMA driftless; CREATE TABLE driftless.products (id text PRIMARY KEY);
		CREATE TYPE state AS ENUM ('on', 'off');
		CREATE DOMAIN cents AS numeric(12, 3) CHECK (VALUE >= 0); CREATE DOMAIN price_cents AS cents;
		CREATE TABLE shop.items (
			a int, b int, mode state NOT NULL, cost price_cents, plain numeric, site text, kind text, big text,
			doubled int GENERATED ALWAYS AS (a * 2) STORED, blob bytea,
			PRIMARY KEY (b, a), UNIQUE (kind, site));
		CREATE UNIQUE INDEX ON shop.items (site) WHERE site IS NOT NULL;
		COMMENT ON COLUMN shop.items.plain IS 'in euros';
		CREATE TABLE shop.parts (id int PRIMARY KEY, item_a int, item_b int,
			FOREIGN KEY (item_b, item_a) REFERENCES shop.items (b, a));
		ALTER TABLE shop.parts REPLICA IDENTITY FULL; ALTER TABLE shop.parts ENABLE ROW LEVEL SECURITY;
		CREATE TABLE shop.logs (day date) PARTITION BY RANGE (day);
		CREATE TABLE shop.logs_2026 PARTITION OF shop.logs FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
		CREATE VIEW shop.everything AS SELECT a, b FROM shop.items;
		CREATE TABLE shop."odd
name" (id int);
		INSERT INTO shop.items SELECT i, 1, 'on', 1.250, 1.5, 'https://example.com/' || i, 'k' || i % 3, 'v' || i
			FROM generate_series(1, 50) i;
		INSERT INTO shop.items (a, b, mode, kind) VALUES (51, 1, 'off', E'line\nbreak')`)
	db := read(t, conn)
	var names []string
	for _, table := range db.Tables {
		names = append(names, table.Name)
	}
	require.Equal(t, []string{"items", "logs", "parts"}, names,
		"no views, no partitions, nothing of Driftless, and no name that a comment cannot have")
	require.Equal(t, "logical", db.WALLevel)

	items := tableOf(t, db, "items")
	require.Equal(t, []string{"b", "a"}, items.Key)
	require.Equal(t, [][]string{{"kind", "site"}}, items.Unique, "a partial index proves nothing")
	require.Equal(t, []string{"b", "a"}, items.IdentityColumns)
	require.False(t, items.Visible)
	require.True(t, items.Complete)
	require.Equal(t, 51, items.Sampled)

	state := columnOf(t, items, "mode")
	require.Equal(t, []string{"on", "off"}, state.Labels)
	require.True(t, state.NotNull)
	cost := columnOf(t, items, "cost")
	require.Equal(t, "numeric", cost.Type)
	require.Equal(t, "price_cents", cost.Domain)
	require.Equal(t, 3, cost.Scale, "of the domain below")
	require.Equal(t, 2, cost.Sample.Places, "zeros at the end are no places")
	plain := columnOf(t, items, "plain")
	require.Equal(t, -1, plain.Scale)
	require.Equal(t, "in euros", plain.Comment)
	require.True(t, columnOf(t, items, "doubled").Generated)
	require.True(t, columnOf(t, items, "site").Sample.URLs)
	require.False(t, columnOf(t, items, "site").Sample.Repeated)
	kind := columnOf(t, items, "kind").Sample
	require.Equal(t, []string{"k1", "k2", "k0"}, kind.Values, "the most frequent first, and no control characters")
	require.True(t, kind.Many)
	require.True(t, kind.Repeated)
	require.Len(t, columnOf(t, items, "big").Sample.Values, proposal.MaxValues)

	parts := tableOf(t, db, "parts")
	require.Equal(t, "f", parts.Identity)
	require.True(t, parts.RowSecurity)
	require.Equal(t, []proposal.Reference{{
		Columns: []string{"item_b", "item_a"}, Schema: "shop", Table: "items", ToColumns: []string{"b", "a"},
	}}, parts.References)
	require.Empty(t, read(t, conn, "public").Tables)
}

// A large table is sampled by pages, so that its sample is no scan.
func TestRead_SamplesLargeTables(t *testing.T) {
	t.Parallel()
	conn := connect(t, `CREATE TABLE items (id int PRIMARY KEY, name text, pad text);
		INSERT INTO items SELECT i, 'item ' || i, repeat('x', 100) FROM generate_series(1, 50000) i; ANALYZE items`)
	items := tableOf(t, read(t, conn), "items")
	require.InDelta(t, 50000, items.Rows, 5000)
	require.False(t, items.Complete)
	require.Greater(t, items.Sampled, 500)
	require.LessOrEqual(t, items.Sampled, 1000)
}

// Postgres takes the queries of every kind of proposal.
func TestPropose_QueriesRun(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		sql     string
		answers proposal.Answers
		// products and prices are what the queries return: ids, and ids with currency and amount.
		products, prices []string
	}{
		"money, floats and flags": {
			`CREATE TABLE items (id int PRIMARY KEY, title text, price money, fee real, hidden int);
				INSERT INTO items VALUES (1, 'One', 12.5, 0.1, 0), (2, 'Two', NULL, 2.35, 1)`,
			proposal.Answers{Currency: "eur", AmountColumn: "fee"},
			[]string{"1", "2"},
			[]string{"1-eur eur 10", "2-eur eur 235"},
		},
		"the type money": {
			`CREATE TABLE items (id int PRIMARY KEY, title text, price money);
				INSERT INTO items VALUES (1, 'One', 12.5)`,
			proposal.Answers{Currency: "eur"},
			[]string{"1"},
			[]string{"1-eur eur 1250"},
		},
		"columns by interval": {
			`CREATE TABLE subscription_plans (id uuid PRIMARY KEY, name text, monthly_price numeric(10, 2), yearly_price numeric(10, 2),
					archived_at timestamptz);
				INSERT INTO subscription_plans VALUES ('00000000-0000-4000-8000-000000000001', 'Pro', 10, 100, now())`,
			proposal.Answers{Currency: "usd"},
			[]string{"00000000-0000-4000-8000-000000000001"},
			[]string{
				"00000000-0000-4000-8000-000000000001-usd-month usd 1000",
				"00000000-0000-4000-8000-000000000001-usd-year usd 10000",
			},
		},
		"a table of currencies, and reserved words": {
			`CREATE TABLE currencies (id int PRIMARY KEY, code char(3) NOT NULL);
				CREATE TABLE "Products" ("Id" int PRIMARY KEY, "displayName" text, "isActive" boolean);
				CREATE TABLE "order" (id int PRIMARY KEY, price int);
				CREATE TABLE "ProductPrices" ("Id" int PRIMARY KEY, "productId" int REFERENCES "Products", "currencyId" int REFERENCES currencies,
					amount numeric NOT NULL, "endsAt" timestamptz);
				INSERT INTO currencies VALUES (1, 'EUR'), (2, 'JPY');
				INSERT INTO "Products" VALUES (7, 'Seven', NULL);
				INSERT INTO "ProductPrices" VALUES (1, 7, 1, 1.5, NULL), (2, 7, 2, 150, NULL), (3, 7, 2, 90, now() - interval '1 hour')`,
			proposal.Answers{},
			[]string{"7"},
			[]string{"1 EUR 150", "2 JPY 150"},
		},
		"a key of two columns": {
			`CREATE TABLE products (shop text, sku text, name text, PRIMARY KEY (shop, sku));
				CREATE TABLE prices (shop text, sku text, currency text, amount_cents int NOT NULL, PRIMARY KEY (shop, sku, currency),
					FOREIGN KEY (shop, sku) REFERENCES products);
				INSERT INTO products VALUES ('a', 'b', 'AB'); INSERT INTO prices VALUES ('a', 'b', 'gbp', 99)`,
			proposal.Answers{},
			[]string{"a-b"},
			[]string{"a-b-gbp gbp 99"},
		},
		"variants without names": {
			`CREATE TABLE products (id int PRIMARY KEY, name text, is_deleted boolean);
				CREATE TABLE skus (id int PRIMARY KEY, product_id int REFERENCES products, code text, price numeric(10, 2) NOT NULL,
					currency text);
				INSERT INTO products VALUES (1, 'Tee', NULL), (2, 'Old', true);
				INSERT INTO skus VALUES (10, 1, 'red', 5, 'eur'), (20, 2, 'blue', 6, 'eur')`,
			proposal.Answers{ProductsTable: "skus"},
			[]string{"10"},
			[]string{"10-price eur 500", "20-price eur 600"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := connect(t, c.sql)
			p, err := proposal.Propose(read(t, conn), c.answers)
			require.NoError(t, err)
			require.Equal(t, c.products, texts(t, conn, "SELECT id::text FROM ("+p.Products+") p ORDER BY 1"), p.YAML)
			require.Equal(t, c.prices,
				texts(t, conn, "SELECT concat_ws(' ', id, currency, trim_scale(unit_amount::numeric)) FROM ("+
					p.Prices+") p ORDER BY 1"), p.YAML)
		})
	}
}

func texts(t *testing.T, conn *pgx.Conn, sql string) []string {
	t.Helper()
	rows, err := conn.Query(t.Context(), sql)
	require.NoError(t, err)
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err, sql)
	return out
}

func TestRead_SaysWhichNamesAreShared(t *testing.T) {
	t.Parallel()
	conn := connect(t, `CREATE SCHEMA shop; CREATE TABLE shop.items (id int PRIMARY KEY);
		CREATE TABLE public.items (id int PRIMARY KEY); CREATE TABLE public.parts (id int PRIMARY KEY);
		SET search_path = shop`)
	shared := map[string]bool{}
	for _, table := range read(t, conn).Tables {
		shared[table.Schema+"."+table.Name] = table.Shared
	}
	require.Equal(t, map[string]bool{"shop.items": true, "public.items": true, "public.parts": false}, shared)
}
