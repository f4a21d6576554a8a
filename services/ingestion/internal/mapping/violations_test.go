package mapping_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/ingestion/internal/mapping"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/config"
)

// costs is a shop that knows what its items cost. Item b sells below its margin.
const costs = `CREATE TABLE items (id text PRIMARY KEY, name text, cost int);
	CREATE TABLE tariffs (id text PRIMARY KEY, item text, cents bigint);
	INSERT INTO items VALUES ('a', 'A', 100), ('b', 'B', 100), ('c', 'C', 0);
	INSERT INTO tariffs VALUES ('a1', 'a', 200), ('b1', 'b', 104), ('b2', 'b', 101), ('c1', 'c', 100)`

var margin = config.ProductCheck{
	Name: "margin",
	Query: `SELECT i.id, t.id || ' has ' || (t.cents - i.cost) * 100 / i.cost || ' percent'
		FROM items i JOIN tariffs t ON t.item = i.id WHERE (t.cents - i.cost) * 100 / i.cost < 10 -- too little`,
	Message: "margin below 10 percent",
}

func messages(s mapping.State) (out []string) {
	for _, v := range s.Violated {
		out = append(out, v.Check.Name+": "+v.Message)
	}
	return out
}

func TestRead_FindsViolationsWithTheirDetails(t *testing.T) {
	s := newShop(t, costs)
	s.queries.Checks = []config.ProductCheck{margin, {
		Name: "name", Query: "SELECT id FROM items WHERE name < 'B' ;\n", Message: "bad name", Severity: "refuse",
	}}
	s.exec(`UPDATE items SET cost = 50 WHERE id = 'c'`)
	r := s.read("a", "b", "c", "gone")
	require.Empty(t, r.CheckFailures)
	require.Equal(t, []string{"margin", "name"}, r.Checked)
	require.Equal(t, []string{"name: bad name"}, messages(r.State("a")))
	require.True(t, r.State("a").Violated[0].Check.Refuses())
	require.Equal(t, []string{"margin: margin below 10 percent: b1 has 4 percent; b2 has 1 percent"},
		messages(r.State("b")))
	require.Empty(t, messages(r.State("c")))
	require.Equal(t, []string{"gone"}, r.Absent)

	s.exec(`INSERT INTO tariffs SELECT 'x' || n, 'b', 100 FROM generate_series(1, 9) n`)
	require.Equal(t, []string{
		"margin: margin below 10 percent: b1 has 4 percent; b2 has 1 percent; x1 has 0 percent; " +
			"x2 has 0 percent; x3 has 0 percent; and 6 more",
	}, messages(s.read("b").State("b")))
}

// A product's violations do not depend on the products that are read with it: one for which a check fails does not hide
// those of others.
func TestRead_CheckThatFailsForOneProductFindsTheOthers(t *testing.T) {
	s := newShop(t, costs)
	s.queries.Checks = []config.ProductCheck{margin}
	s.exec(`INSERT INTO items SELECT 'd' || n, 'D', 100 FROM generate_series(1, 40) n;
		INSERT INTO tariffs SELECT 'd' || n, 'd' || n, 100 FROM generate_series(1, 40) n`)
	ids := []string{"a", "b", "c"}
	for n := range 40 {
		ids = append(ids, fmt.Sprint("d", n+1))
	}
	r := s.read(ids...)
	require.Len(t, r.States, 43)
	require.Len(t, r.CheckFailures, 1)
	failure := r.CheckFailures[0]
	require.Equal(t, "check margin fails: division by zero (SQLSTATE 22012) (for product c)", failure.Error())
	require.Equal(t, "22012", failure.Code)
	require.Equal(t, 1, failure.Products)
	require.Empty(t, r.Checked)
	require.Empty(t, messages(r.State("a")))
	require.Equal(t, s.read("b").State("b").Violated, r.State("b").Violated)
	require.Len(t, messages(r.State("d40")), 1)
	require.Empty(t, messages(r.State("c")))
	require.Equal(t, []string{"margin"}, r.State("c").Unchecked)
	require.NotNil(t, r.State("c").Product, "the product is read")

	s.queries.Checks[0].OnError = "hold"
	r = s.read("b", "c")
	require.Equal(t, []string{"margin: the check could not run: division by zero (SQLSTATE 22012)"},
		messages(r.State("c")))
	require.Empty(t, r.State("c").Unchecked)
}

// A check that cannot run at all keeps no product from being read, and no other check from running.
func TestRead_CheckThatCannotRunStopsNothing(t *testing.T) {
	for name, c := range map[string]struct{ query, want string }{
		"no such table":      {"SELECT id FROM nothing", `relation "nothing" does not exist`},
		"no query":           {"DELETE FROM items", "syntax error"},
		"two statements":     {"SELECT id FROM items) c(id); DELETE FROM items; SELECT (1", "cannot insert multiple commands"},
		"too many columns":   {"SELECT id, name, cost FROM items", "its query returns 3 columns"},
		"writes":             {"SELECT write()", "read-only transaction"},
		"always fails":       {"SELECT id FROM items WHERE 1 / (cost - cost) > 0", "division by zero"},
		"fails without rows": {"SELECT max(id) FROM items WHERE fails()", "no good"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t, costs+`;
				CREATE FUNCTION write() RETURNS text LANGUAGE plpgsql AS
					$$ BEGIN DELETE FROM items; RETURN 'a'; END $$;
				CREATE FUNCTION fails() RETURNS bool LANGUAGE plpgsql AS
					$$ BEGIN RAISE EXCEPTION 'no good'; END $$`)
			s.exec(`DELETE FROM items WHERE id = 'c'`)
			s.queries.Checks = []config.ProductCheck{{Name: "bad", Query: c.query, Message: "no"}, margin}
			m := s.mapping()
			for range 2 {
				r, err := m.Read(t.Context(), []string{"a", "b"})
				require.NoError(t, err)
				require.NotEmpty(t, r.CheckFailures)
				require.Contains(t, r.CheckFailures[0].Error(), c.want)
				require.Equal(t, []string{"margin"}, r.Checked)
				require.Len(t, r.State("b").Violated, 1)
				require.Equal(t, []string{"bad"}, r.State("a").Unchecked)
				require.NotNil(t, r.State("a").Product)
			}
		})
	}
}

func TestRead_CheckThatTakesTooLongRests(t *testing.T) {
	mapping.CheckTime(t, 50)
	s := newShop(t, costs)
	slow := config.ProductCheck{Name: "slow", Query: "SELECT id FROM items, pg_sleep(60)", Message: "no"}
	s.queries.Checks = []config.ProductCheck{slow}
	m := s.mapping()
	for range 20 {
		r, err := m.Read(t.Context(), []string{"a", "b"})
		require.NoError(t, err)
		require.Len(t, r.States, 2)
		require.Contains(t, r.CheckFailures[0].Error(), "it may take 50ms for the products at hand")
	}
	var limit string
	require.NoError(t, s.pool.QueryRow(t.Context(), "SHOW statement_timeout").Scan(&limit))
	require.Equal(t, "0", limit, "the limit is the check's alone")
}

// Ids of a check are compared as values of the products' ids.
func TestRead_ChecksCompareIDsAsValues(t *testing.T) {
	s := newShop(t, `CREATE TABLE items (id int PRIMARY KEY, name text); INSERT INTO items VALUES (7, 'A'), (8, 'B');
		CREATE TABLE tariffs (id text, item int, cents bigint)`)
	s.queries.Checks = []config.ProductCheck{
		{Name: "text", Query: "SELECT '007', 'first' UNION ALL SELECT '7', 'second'", Message: "no"},
		{Name: "bigint", Query: "SELECT 8::bigint", Message: "no"},
	}
	r := s.read("007", "8")
	require.Empty(t, r.CheckFailures)
	require.Equal(t, []string{"text: no: first; second"}, messages(r.State("007")))
	require.Equal(t, []string{"bigint: no"}, messages(r.State("8")))

	s.queries.Checks = []config.ProductCheck{{Name: "json", Query: "SELECT '{}'::jsonb", Message: "no"}}
	require.Contains(t, s.read("7").CheckFailures[0].Error(), "cannot cast jsonb object to type integer")
}

func TestRead_ChecksIgnoreCaseAsTheIDsDo(t *testing.T) {
	s := newShop(t, `CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
		CREATE TABLE items (id text COLLATE nocase PRIMARY KEY, name text); INSERT INTO items VALUES ('Mug', 'A');
		CREATE TABLE tariffs (id text, item text COLLATE nocase, cents bigint)`)
	s.queries.Checks = []config.ProductCheck{
		{Name: "case", Query: "SELECT 'MUG', 'x' UNION ALL SELECT 'Mug', 'y'", Message: "no"},
	}
	r := s.read("mug")
	require.Empty(t, r.CheckFailures)
	require.Equal(t, []string{"case: no: x; y"}, messages(r.State("mug")))
}

// The violations of a read are those that the checks' queries return in the same state, however the products are
// grouped.
func TestRead_ViolationsEqualTheQuery(t *testing.T) {
	s := newShop(t, costs)
	s.queries.Checks = []config.ProductCheck{margin}
	m := s.mapping()
	rapid.Check(t, func(r *rapid.T) {
		n := rapid.IntRange(1, 12).Draw(r, "products")
		s.exec(`TRUNCATE items, tariffs`)
		var ids []string
		for i := range n {
			id := fmt.Sprint("p", i)
			ids = append(ids, id)
			s.exec(`INSERT INTO items VALUES ($1, $1, $2)`, id, rapid.IntRange(1, 100).Draw(r, "cost"))
			s.exec(`INSERT INTO tariffs VALUES ($1, $1, $2)`, id, rapid.IntRange(1, 120).Draw(r, "cents"))
		}
		rows, err := s.pool.Query(t.Context(), margin.Query)
		require.NoError(r, err)
		want := map[string]bool{}
		for rows.Next() {
			values, err := rows.Values()
			require.NoError(r, err)
			want[values[0].(string)] = true
		}
		require.NoError(r, rows.Err())
		for part := range slices.Chunk(ids, rapid.IntRange(1, n).Draw(r, "size")) {
			got, err := m.Read(t.Context(), part)
			require.NoError(r, err)
			require.Empty(r, got.CheckFailures)
			for _, id := range part {
				require.Equal(r, want[id], len(got.State(id).Violated) == 1, id)
			}
		}
	})
}

func TestFingerprint_HasTheChecks(t *testing.T) {
	s := newShop(t, costs)
	without := s.mapping().Fingerprint()
	s.queries.Checks = []config.ProductCheck{margin}
	with := s.mapping().Fingerprint()
	require.NotEqual(t, without, with)
	s.queries.Checks[0].Severity = "refuse"
	require.NotEqual(t, with, s.mapping().Fingerprint())
}

// findings returns what a check of the mapping and the database says.
func (s *shop) findings() (out []string) {
	s.t.Helper()
	found, err := s.mapping().Check(s.t.Context(), s.queries.Watch,
		func(*catalogv1.Product) []catalog.Violation { return nil })
	require.NoError(s.t, err)
	for _, f := range found {
		require.False(s.t, f.IsRefusal(), "a check never keeps ingestion from starting")
		out = append(out, f.String())
	}
	return out
}

func TestCheck_ShowsWhatTheChecksFind(t *testing.T) {
	s := newShop(t, costs+`; CREATE TABLE margins (percent int); INSERT INTO margins VALUES (10);
		UPDATE items SET cost = 50 WHERE id = 'c'`)
	s.queries.Watch = []config.WatchedTable{{Table: "items", ProductID: "id"}, {Table: "tariffs", ProductID: "item"}}
	require.Empty(t, s.findings())
	s.queries.Checks = []config.ProductCheck{margin}
	require.Equal(t, []string{"check margin finds 1 of 3 products, and their changes are held: margin below 10 percent: " +
		"b1 has 4 percent; b2 has 1 percent (such as product b)"}, s.findings())

	s.queries.Checks = []config.ProductCheck{
		{Name: "hidden", Query: "SELECT 'nobody'::text UNION ALL SELECT NULL", Message: "no"},
		{Name: "null", Query: "SELECT id, id FROM items RIGHT JOIN margins ON percent = cost", Message: "no"},
		{Name: "lost", Query: "SELECT id FROM nothing", Message: "no"},
		{Name: "all", Query: "SELECT id FROM items", Message: "no", Severity: "refuse"},
	}
	got := s.findings()
	require.Len(t, got, 5)
	require.Contains(t, got[0], "the checks read margins, and catalog.watch does not name it")
	require.Contains(t, got[1], `check hidden fails: it returns 1 ids that are no products, such as "nobody"`)
	require.Contains(t, got[2], "check null fails: it returns 1 rows whose id is NULL")
	require.Equal(t, `check lost fails: relation "nothing" does not exist (SQLSTATE 42P01)`, got[3])
	require.Contains(t, got[4], "check all finds 3 of 3 products, and they become dead letters: no (such as product a)")

	s.exec(`TRUNCATE items, tariffs`)
	require.Contains(t, s.findings()[3], "check lost fails", "also if there is no product")
}

func TestDependencies_HaveTheTablesOfChecks(t *testing.T) {
	s := newShop(t, costs+`; CREATE TABLE margins (percent int)`)
	s.queries.Checks = []config.ProductCheck{
		{Name: "lost", Query: "SELECT id FROM nothing", Message: "no"},
		{Name: "margin", Query: "SELECT id, id FROM items, margins", Message: "no"},
	}
	ofChecks := func(m *mapping.Mapping) map[string]bool {
		d, err := m.Dependencies(t.Context())
		require.NoError(t, err)
		out := map[string]bool{}
		for _, r := range d.Relations {
			out[r.Name] = r.OfChecks
		}
		return out
	}
	want := map[string]bool{"items": false, "tariffs": false, "margins": true}
	require.Equal(t, want, ofChecks(s.mapping()))

	s.exec(`DO $$ BEGIN EXECUTE 'REVOKE TEMPORARY ON DATABASE ' || current_database() || ' FROM PUBLIC'; END $$`)
	m, err := mapping.New(t.Context(), s.as("checks_reader"), &s.queries)
	require.NoError(t, err)
	require.Equal(t, want, ofChecks(m), "without the right to make a temporary view")
}
