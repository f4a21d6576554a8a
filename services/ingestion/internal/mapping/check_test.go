package mapping_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/ingestion/internal/finding"
	"github.com/driftless-sync/driftless/services/ingestion/internal/validation"
	"github.com/driftless-sync/driftless/services/internal/config"
)

// check returns the findings, with "refused: " before those that prevent the start of ingestion.
func (s *shop) check(watch ...config.WatchedTable) []string {
	s.t.Helper()
	v, err := validation.New()
	require.NoError(s.t, err)
	found, err := s.mapping().Check(s.t.Context(), watch, v.Product)
	require.NoError(s.t, err)
	out := []string{}
	for _, f := range found {
		word := ""
		if f.Severity == finding.Refusal {
			word = "refused: "
		}
		out = append(out, word+f.String())
	}
	return out
}

// requireFindings checks that each finding has the texts that are given for it, and that there are no others.
func requireFindings(t *testing.T, found []string, want ...[]string) {
	t.Helper()
	require.Len(t, found, len(want), "%q", found)
	for i, words := range want {
		for _, w := range words {
			require.Contains(t, found[i], w)
		}
	}
}

const goods = `CREATE TABLE items (id int PRIMARY KEY, name text); CREATE TABLE tariffs (id text PRIMARY KEY, item int REFERENCES items, cents int);
	INSERT INTO items SELECT i, 'Item' FROM generate_series(1, 60) i;
	INSERT INTO tariffs SELECT concat('p', i), i, 100 FROM generate_series(1, 60) i;`

var goodsWatched = []config.WatchedTable{{Table: "items", ProductID: "id"}, {Table: "tariffs", ProductID: "item"}}

func TestCheck_AcceptsSoundMapping(t *testing.T) {
	s := newShop(t, goods)
	require.Empty(t, s.check(goodsWatched...))
	s.exec(`TRUNCATE items, tariffs`)
	require.Empty(t, s.check(goodsWatched...), "empty tables")
}

func TestCheck_NamesUnwatchedTables(t *testing.T) {
	s := newShop(t, goods+`
		CREATE TABLE categories (id int PRIMARY KEY, label text); ALTER TABLE items ADD category int REFERENCES categories;
		CREATE TABLE photos (item_id int REFERENCES items, url text);
		CREATE TABLE rates (factor int);
		CREATE MATERIALIZED VIEW stock AS SELECT 1 AS item;
		CREATE FUNCTION tax() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT factor FROM rates); END $$`)
	s.queries.Products = `SELECT i.id, i.name, c.label AS description, (SELECT array_agg(url) FROM photos WHERE item_id = i.id) AS images
		FROM items i LEFT JOIN categories c ON c.id = i.category LEFT JOIN stock ON stock.item = i.id AND i.id < 0`
	s.queries.Prices = `SELECT id, item AS product, 'eur' AS currency, cents * coalesce((SELECT min(factor) FROM rates), tax(), 1) AS unit_amount FROM tariffs`
	requireFindings(t, s.check(goodsWatched...),
		[]string{
			"read categories", `add {table: categories, products: "SELECT id FROM items WHERE category = @id"}`,
			"only when the tables are compared",
		},
		[]string{"read photos", "add {table: photos, product_id: item_id}"},
		[]string{"read rates", "catalog.watch does not name it"},
		[]string{"materialized view stock"},
		[]string{"call tax()"},
	)
}

func TestCheck_ComparesWatchedValuesWithIDs(t *testing.T) {
	s := newShop(t,
		goods+`CREATE TABLE notes (id serial PRIMARY KEY, ref text, note text); CREATE TABLE empty (ref text);
		INSERT INTO notes (ref, note) SELECT 'item ' || i, 'n' FROM generate_series(1, 1500) i`)
	none := config.WatchedTable{Table: "notes", ProductID: "ref"}
	// 'item 1'::int fails, so the types alone show that no value of the sample can match.
	requireFindings(t, s.check(append(goodsWatched, none)...),
		[]string{"watched table notes", `has values like "item`, "is a product's id", `like "1"`})
	s.exec(`INSERT INTO notes (ref) VALUES ('007')`)
	require.Len(t, s.check(append(goodsWatched, none)...), 1,
		"behind the sample, of a column that the type of the ids cannot hold")
	where := config.WatchedTable{Table: "notes", ProductID: "ref", Where: "note IS NULL"}
	require.Empty(t, s.check(append(goodsWatched, where)...), "one value in another spelling")
	require.Empty(t, s.check(append(goodsWatched, config.WatchedTable{Table: "empty", ProductID: "ref"})...))
	require.Empty(t,
		s.check(append(goodsWatched, config.WatchedTable{
			Table:     "notes",
			ProductID: "substr(ref, 6)",
			Where:     "note = 'n'",
		})...))

	s.queries.Products = `SELECT 'item-' || id AS id, name FROM items`
	s.queries.Prices = `SELECT id, 'item-' || item AS product, 'eur' AS currency, cents AS unit_amount FROM tariffs`
	requireFindings(t, s.check(goodsWatched...),
		[]string{
			"refused: no product has an id that is in watched table items, whose product_id id has values like",
			`"'item-' || id"`,
		},
		[]string{"refused: no product has an id that is in watched table tariffs", `"'item-' || item"`},
	)
	require.Empty(t,
		s.check(config.WatchedTable{
			Table:     "items",
			ProductID: "'item-' || id",
		}, config.WatchedTable{Table: "tariffs", ProductID: "'item-' || item"}))
	require.Empty(t,
		s.check(config.WatchedTable{
			Table:    "items",
			Products: "SELECT 'item-' || @id",
		}, config.WatchedTable{Table: "tariffs", Products: "SELECT 'item-' || @item"}))
}

// The samples are the first thousand of each side. In this test they have nothing in common.
func TestCheck_ComparesValuesBeyondSamples(t *testing.T) {
	s := newShop(t,
		`CREATE TABLE items (id text COLLATE "C" PRIMARY KEY, name text); CREATE TABLE tariffs (id text PRIMARY KEY, item text, cents int);
		INSERT INTO items SELECT 'a' || i, 'Item' FROM generate_series(1, 3000) i; INSERT INTO items VALUES ('z', 'Item');
		INSERT INTO tariffs SELECT 'p' || i, 'gone', 100 FROM generate_series(1, 3000) i; INSERT INTO tariffs VALUES ('z', 'z', 100)`)
	require.Empty(t, s.check(goodsWatched...))
	s.exec(`DELETE FROM tariffs WHERE item = 'z'`)
	requireFindings(t, s.check(goodsWatched...), []string{"refused:", "watched table tariffs", `"gone"`})
}

func TestCheck_ReportsMissingAndDuplicateIDs(t *testing.T) {
	s := newShop(t, `CREATE TABLE items (id int, name text); CREATE TABLE tariffs (id text, item int, cents int);
		INSERT INTO items VALUES (1, 'One'), (2, 'Two'), (2, 'Deux'), (NULL, 'None'); INSERT INTO tariffs VALUES ('x', 1, 1), ('x', 3, 1), ('y', NULL, 2), (NULL, 1, 1)`)
	requireFindings(t, s.check(goodsWatched...),
		[]string{"the products query returns 1 rows whose id is NULL"},
		[]string{"the products query returns 1 ids more than once, in 2 rows, such as \"2\"", "a join"},
		[]string{"the prices query returns 1 rows whose id is NULL"},
		[]string{"the prices query returns 1 rows whose product is NULL"},
		[]string{`the prices query returns 1 ids more than once, in 2 rows, such as "x", for products "1" and "3"`},
		[]string{`1 of 2 products: id: the products query returns this product 2 times`, "such as product 2"},
		[]string{`1 of 2 products: prices[1].id: must not be NULL or empty`},
	)
}

func TestCheck_CountsInvalidProductsByReason(t *testing.T) {
	s := newShop(t, goods)
	s.queries.Products = `SELECT id, name, CASE WHEN id % 3 = 0 THEN jsonb_build_object('composer', jsonb_build_array(repeat('x', id))) END AS metadata,
		CASE WHEN id = 7 THEN (1 / (id - 7))::text END AS description FROM items`
	s.queries.Prices = `SELECT id, item AS product, CASE WHEN item % 2 = 0 THEN 'euro!' ELSE 'EUR' END AS currency, cents AS unit_amount FROM tariffs`
	requireFindings(t, s.check(goodsWatched...),
		[]string{`30 of 60 products: prices[`, `].currency: must be`, `"euro!"`},
		[]string{`20 of 60 products: metadata["composer"]: must be a text`, "such as product"},
		[]string{"1 of 60 products: the mapping's products query fails: division by zero", "such as product 7"},
	)
	s.queries.Products = `SELECT id, name, NULL::boolean AS active FROM items`
	s.queries.Prices = `SELECT id, item AS product, 'eur' AS currency, cents AS unit_amount FROM tariffs`
	requireFindings(t, s.check(goodsWatched...),
		[]string{"refused: the first 60 products all fail", "active: must be true or false", "coalesce"})
	s.exec(`DELETE FROM tariffs WHERE item > 49; DELETE FROM items WHERE id > 49`)
	requireFindings(t, s.check(goodsWatched...), []string{"49 of 49 products: active"})
}

func TestCheck_RefusesQueriesThatFailForAll(t *testing.T) {
	s := newShop(t, goods+`CREATE TABLE rates (factor int); INSERT INTO rates VALUES (0);
		CREATE FUNCTION factor() RETURNS int LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN (SELECT missing FROM rates); END $$`)
	s.queries.Prices = `SELECT id, item AS product, 'eur' AS currency, cents * factor() AS unit_amount FROM tariffs`
	requireFindings(t, s.check(goodsWatched...), []string{"call factor()"},
		[]string{"refused: no product can be read", "prices query", `column "missing" does not exist`})
}

func TestCheck_RefusesQueriesThatRoleMayNotRun(t *testing.T) {
	s := newShop(t, goods+`CREATE SCHEMA texts; CREATE TABLE texts.labels (item int PRIMARY KEY, label text);
		CREATE TABLE "Costs" (item int PRIMARY KEY, cost int)`)
	s.queries.Products = `SELECT i.id, l.label AS name FROM items i JOIN texts.labels l ON l.item = i.id LEFT JOIN "Costs" c ON c.item = i.id`
	owner := s.pool
	s.pool = s.as("reader")
	_, err := owner.Exec(t.Context(), `REVOKE SELECT ON "Costs" FROM reader; GRANT USAGE ON SCHEMA texts TO reader`)
	require.NoError(t, err)
	found := s.check(goodsWatched...)
	require.Equal(t, "refused: the role of DATABASE_URL may not run the mapping's products query "+
		"(permission denied for table labels), so no product could be read: run `"+`GRANT SELECT ON public."Costs", texts.labels TO reader;`+"`", found[0])
	for _, f := range found[1:] {
		require.Contains(t, f, "mapping.queries", "nothing else was looked at")
	}
	_, err = owner.Exec(t.Context(), `GRANT SELECT ON public."Costs", texts.labels TO reader;`)
	require.NoError(t, err)
	for _, f := range s.check(goodsWatched...) {
		require.NotContains(t, f, "refused")
	}
}
