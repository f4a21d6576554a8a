package mapping_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/ingestion/internal/mapping"
)

// wordy has tables whose prices are texts, as in a table of attributes.
const wordy = `CREATE TABLE items (id integer PRIMARY KEY, name text, stock text); CREATE TABLE tariffs (id text, item integer, cents text);
	CREATE INDEX ON tariffs (item)`

func newWordy(t *testing.T, more string) *shop {
	t.Helper()
	s := newShop(t, wordy+";"+more)
	s.queries.Products = `SELECT id, name, jsonb_build_object('stock', stock::numeric) AS metadata FROM items`
	s.queries.Prices = `SELECT id, item AS product, 'eur' AS currency, cents::numeric AS unit_amount FROM tariffs`
	return s
}

// TestRead_FindsFailingRows adds rows for which the queries fail to good ones.
func TestRead_FindsFailingRows(t *testing.T) {
	t.Parallel()
	const n = 300
	for seed := range uint64(6) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 1))
			share := []float64{0, 1.0 / n, 0.02, 0.3, 0.9, 1}[seed]
			s := newWordy(t, "")
			failing, ids := map[string]string{}, []string{"abc", "99999", "007"}
			var stocks, prices []string
			for i := range n {
				id, stock, cents := strconv.Itoa(i), "1", "1250"
				if random.Float64() < share {
					failing[id] = "products"
					if random.IntN(2) == 0 {
						cents, failing[id] = "12,50", "prices"
					} else {
						stock = "viele"
					}
				}
				ids, stocks, prices = append(ids, id), append(stocks, stock), append(prices, cents)
			}
			s.exec(`INSERT INTO items SELECT n - 1, 'Item', stock FROM unnest($1::text[]) WITH ORDINALITY u(stock, n)`,
				stocks)
			s.exec(`INSERT INTO tariffs SELECT 'p' || n, n - 1, cents FROM unnest($1::text[]) WITH ORDINALITY u(cents, n)`, prices)
			// A price for which the query fails, without a product.
			s.exec(`INSERT INTO tariffs VALUES ('stray', 5000, '12,50')`)
			ids = append(ids, "5000")
			random.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })

			r := s.read(ids...)
			require.Len(t, r.States, n, "none is lost or duplicated")
			for id, state := range r.States {
				if query, fails := failing[id]; fails {
					require.Nil(t, state.Product)
					require.NotNil(t, state.Failure, id)
					require.Equal(t, query, state.Failure.Query)
					require.Equal(t, "22P02", state.Failure.Code)
					require.Equal(t, 1, state.Failure.BatchSize)
					require.Contains(t, state.Failure.Message,
						map[string]string{"products": `"viele"`, "prices": `"12,50"`}[query])
					continue
				}
				require.Nil(t, state.Failure, id)
				require.Equal(t, id, state.Product.GetId())
				require.Len(t, state.Product.GetPrices(), 1)
			}
			require.Equal(t, []string{"abc"}, r.NotIDs)
			require.ElementsMatch(t, []string{"99999", "5000"}, r.Absent)
			require.Equal(t, r.States["7"], r.State("007"))
			require.True(t, r.Saw(3), "an old transaction")
			var next uint64
			require.NoError(t, s.pool.QueryRow(t.Context(), `SELECT pg_current_xact_id()::text::bigint`).Scan(&next))
			require.False(t, r.Saw(uint32(next)), "a transaction that began later")
		})
	}
}

func TestRead_ReportsErrorsRaisedByRows(t *testing.T) {
	t.Parallel()
	for name, expression := range map[string]string{
		"division by zero":      `(1 / (stock::int))::text`,
		"a scalar of many rows": `(SELECT 'x' FROM generate_series(1, 1 + (stock::int = 0)::int))`,
		"raised by a function":  `judge(stock)`,
		"a custom SQLSTATE":     `judge(stock, 'SHOP1')`,
		"a syntax of a value":   `jsonb_path_query_first('{}', CASE stock WHEN '0' THEN '$.[' ELSE '$' END::jsonpath)::text`,
		"stack depth":           `recurse(stock::int)`,
		"a domain's check":      `stock::positive::text`,
		"a missing relation":    `(CASE stock WHEN '0' THEN 'nowhere' ELSE 'items' END)::regclass::text`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newWordy(t, `CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
				CREATE FUNCTION judge(s text, code text DEFAULT 'P0001') RETURNS text LANGUAGE plpgsql AS $$
					BEGIN IF s = '0' THEN RAISE EXCEPTION 'no stock' USING ERRCODE = code; END IF; RETURN s; END $$;
				CREATE FUNCTION recurse(i int) RETURNS text LANGUAGE plpgsql AS $$
					BEGIN IF i = 0 THEN RETURN recurse(i); END IF; RETURN 'x'; END $$;
				INSERT INTO items SELECT i, 'Item', CASE i WHEN 3 THEN '0' ELSE '1' END FROM generate_series(1, 8) i`)
			s.queries.Products = `SELECT id, name, ` + expression + ` AS description FROM items`
			r := s.read("1", "2", "3", "4", "5", "6", "7", "8")
			require.Len(t, r.States, 8)
			for id, state := range r.States {
				if id == "3" {
					require.NotNil(t, state.Failure)
					require.Equal(t, "products", state.Failure.Query)
					require.NotEmpty(t, state.Failure.Message)
				} else {
					require.NotNil(t, state.Product, id)
				}
			}
			r = s.read("3")
			require.NotNil(t, r.State("3").Failure, "even if it is requested alone")
		})
	}
}

// An error that each product causes does not come from a row. It must make no dead letter.
func TestRead_FailsWhenQueryIsWrong(t *testing.T) {
	t.Parallel()
	good := `INSERT INTO items SELECT i, 'Item', '1' FROM generate_series(1, 8) i;
		CREATE TABLE stocks (amount int); INSERT INTO stocks VALUES (1);
		CREATE FUNCTION stock() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT amount FROM stocks); END $$;
		CREATE FUNCTION alright() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT amount > 0 FROM stocks); END $$`
	for name, c := range map[string]struct{ products, breaking, want string }{
		"a renamed column": {
			`SELECT id, name FROM items`, `ALTER TABLE items RENAME name TO title`,
			`column "name" does not exist`,
		},
		"a dropped table": {
			`SELECT id, name FROM items`, `DROP TABLE items`,
			`relation "items" does not exist`,
		},
		"a renamed column in a function": {
			`SELECT id, name, jsonb_build_object('n', stock()) AS metadata FROM items`,
			`ALTER TABLE stocks RENAME amount TO n`, `column "amount" does not exist`,
		},
		"a function in the condition": {
			`SELECT id, name FROM items WHERE alright()`,
			`ALTER TABLE stocks RENAME amount TO n`, `column "amount" does not exist`,
		},
		"a table that all products share": {`SELECT id, name, jsonb_build_object('n', (SELECT 1 / amount FROM stocks)) AS metadata FROM items`, `UPDATE stocks SET amount = 0`, `division by zero`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newWordy(t, good)
			s.queries.Products = c.products
			m := s.mapping()
			_, err := m.Read(t.Context(), []string{"1", "2"})
			require.NoError(t, err)
			s.exec(c.breaking)
			for _, ids := range [][]string{{"1"}, {"1", "2", "3"}, {"1", "2", "3", "4", "5", "6", "7", "8"}} {
				_, err = m.Read(t.Context(), ids)
				require.ErrorContains(t, err, "products query")
				require.ErrorContains(t, err, c.want)
			}
		})
	}
}

func TestRead_FailsWithoutRights(t *testing.T) {
	s := newWordy(t, `INSERT INTO items VALUES (1, 'Item', '1')`)
	owner := s.pool
	s.pool = s.as("reader_of_products")
	m := s.mapping()
	_, err := owner.Exec(t.Context(), `REVOKE SELECT ON tariffs FROM reader_of_products`)
	require.NoError(t, err)
	_, err = m.Read(t.Context(), []string{"1"})
	require.ErrorContains(t, err, "prices query")
	require.ErrorContains(t, err, "permission denied for table tariffs")
	require.ErrorContains(t, err, "GRANT SELECT")
}

// A time limit may be exceeded because of one product, or because another session has locked a table.
func TestRead_DistinguishesTimeoutsOfRowsAndLocks(t *testing.T) {
	s := newWordy(t,
		`INSERT INTO items SELECT i, 'Item', '1' FROM generate_series(1, 8) i; UPDATE items SET stock = 'slow' WHERE id = 3;
		CREATE FUNCTION look(s text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN IF s = 'slow' THEN PERFORM pg_sleep(60); END IF; RETURN s; END $$`)
	s.queries.Products = `SELECT id, name, look(stock) AS description FROM items`
	owner := s.pool
	s.pool = limited(t, s.url, 300*time.Millisecond)
	m := s.mapping()
	r, err := m.Read(t.Context(), []string{"1", "2", "3", "4", "5", "6", "7", "8"})
	require.NoError(t, err)
	require.Equal(t, "57014", r.State("3").Failure.Code)
	require.NotNil(t, r.State("4").Product)

	tx, err := owner.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(context.Background()) }()
	_, err = tx.Exec(t.Context(), `LOCK TABLE items`)
	require.NoError(t, err)
	_, err = m.Read(t.Context(), []string{"1", "2"})
	require.ErrorContains(t, err, "statement timeout")
}

func limited(t *testing.T, url string, limit time.Duration) *pgxpool.Pool {
	t.Helper()
	cfg, err := pgxpool.ParseConfig(url)
	require.NoError(t, err)
	cfg.ConnConfig.RuntimeParams["statement_timeout"] = fmt.Sprint(limit.Milliseconds())
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

// A dead letter has the product id that CATALOG has: in the spelling of the query, not of the log.
func TestRead_FailureHasSpellingOfQuery(t *testing.T) {
	s := newShop(t,
		`CREATE EXTENSION citext; CREATE TABLE items (id citext, name text, stock text); CREATE TABLE tariffs (id text, item citext, cents text);
		INSERT INTO items VALUES ('Mug', 'Mug', '1'), ('Cup', 'Cup', 'x'), ('Pot', 'Pot', '1'); INSERT INTO tariffs VALUES ('p', 'POT', '1,5')`)
	s.queries.Products = `SELECT id, name, jsonb_build_object('stock', stock::int) AS metadata FROM items`
	s.queries.Prices = `SELECT id, item AS product, 'eur' AS currency, cents::numeric AS unit_amount FROM tariffs`
	r := s.read("MUG", "CUP", "POT", "pot", "none")
	require.Len(t, r.States, 3)
	require.NotNil(t, r.States["Mug"].Product)
	require.Equal(t, "products", r.States["Cup"].Failure.Query)
	require.Equal(t, "prices", r.States["Pot"].Failure.Query)
	require.Equal(t, map[string]string{"MUG": "Mug", "CUP": "Cup", "POT": "Pot", "pot": "Pot"}, r.Spelled)
	require.Equal(t, []string{"none"}, r.Absent)
}

// A product that is not read alone in time counts as failed, and the failure says so. An id without a product does not.
func TestRead_StopsSplittingAfterTimeLimit(t *testing.T) {
	s := newWordy(t,
		`INSERT INTO items SELECT i, 'Item', CASE WHEN i = 3 THEN 'x' ELSE '1' END FROM generate_series(1, 8) i`)
	mapping.SplitTime(t, -time.Hour)
	r := s.read("1", "2", "3", "4", "5", "6", "7", "8", "9")
	require.Len(t, r.States, 8)
	require.Equal(t, []string{"9"}, r.Absent)
	for _, state := range r.States {
		require.Nil(t, state.Product, "a product that was not read counts as failed")
		require.Equal(t, 9, state.Failure.BatchSize)
		require.Contains(t, state.Failure.Error(), "one of 9 products")
	}
}

func TestRead_AcceptsNoIDs(t *testing.T) {
	s := newWordy(t, "")
	r := s.read()
	require.Empty(t, r.States)
	require.True(t, r.Saw(3))
	require.NotContains(t, s.mapping().Fingerprint(), " ")
}
