package mapping_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/ingestion/internal/mapping"
)

// TestRead_ComparesIDsAsValues reads one product, "stored", of each type in other spellings.
func TestRead_ComparesIDsAsValues(t *testing.T) {
	t.Parallel()
	const uuid = "0f8fad5b-d9cb-469f-a165-70867728950e"
	for _, c := range []struct {
		name, setUp, column string
		// stored is the product's id as SQL, id how the query spells it.
		stored, id string
		same       []string
		// absent has absent ids and Postgres' spelling of them. notIDs cannot be of the type.
		absent map[string]string
		notIDs []string
	}{
		{
			name: "text", column: "text", stored: "'mug'", id: "mug",
			absent: map[string]string{"MUG": "MUG", "mug ": "mug ", "": "", "ü": "ü"}, //nolint:gocritic // a space counts
			notIDs: []string{"a\x00b"},
		},
		{
			name:   "char(8)",
			column: "char(8)",
			stored: "'mug'",
			id:     "mug",
			same:   []string{"mug", "mug     ", "mug "},
			absent: map[string]string{"cup    ": "cup"},
		},
		{
			name: "citext", setUp: "CREATE EXTENSION citext", column: "citext", stored: "'Mug'", id: "Mug",
			same: []string{"mug", "MUG", "Mug"}, absent: map[string]string{"Cup": "Cup"},
		},
		{
			name: "uuid", column: "uuid", stored: "'" + uuid + "'", id: uuid,
			same: []string{
				uuid, "0F8FAD5B-D9CB-469F-A165-70867728950E", "{" + uuid + "}",
				"0f8fad5bd9cb469fa16570867728950e",
			},
			absent: map[string]string{"{00000000-0000-0000-0000-000000000000}": "00000000-0000-0000-0000-000000000000"},
			notIDs: []string{"mug", ""},
		},
		{
			name: "integer", column: "integer", stored: "7", id: "7", same: []string{"7", "007", "+7", " 7 "},
			absent: map[string]string{"8": "8", "+08": "8", "-1": "-1"},
			notIDs: []string{"abc", "3000000000", "", "7.5", "a\x00b"},
		},
		{
			name:   "bigint",
			column: "bigint",
			stored: "3000000000",
			id:     "3000000000",
			same:   []string{"03000000000"},
			notIDs: []string{"99999999999999999999"},
		},
		{
			name:   "numeric",
			column: "numeric",
			stored: "7",
			id:     "7",
			same:   []string{"7.0", "007", "7e0"},
			absent: map[string]string{"8.50": "8.50"},
			notIDs: []string{"x"},
		},
		{
			name: "domain over integer", setUp: "CREATE DOMAIN item_no AS integer CHECK (VALUE > 0)", column: "item_no",
			stored: "7", id: "7",
			same: []string{"007"}, notIDs: []string{"abc"},
		},
		{
			name: "domain over char", setUp: "CREATE DOMAIN code AS char(6)", column: "code", stored: "'mug'",
			id:   "mug",
			same: []string{"mug   "}, absent: map[string]string{"cup  ": "cup"},
		},
		{
			name: "enumeration", setUp: "CREATE TYPE goods AS ENUM ('mug', 'cup')", column: "goods", stored: "'mug'",
			id:     "mug",
			absent: map[string]string{"cup": "cup"}, notIDs: []string{"MUG", "plate"},
		},
		{
			name:   "collation that ignores case",
			setUp:  "CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
			column: "text COLLATE loose", stored: "'Mug'", id: "Mug", same: []string{"mug", "MUG", "Mug"},
			absent: map[string]string{"cup": "cup"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t,
				c.setUp+"; CREATE TABLE items (id "+c.column+", name text); CREATE TABLE tariffs (id text, item "+
					c.column+", cents int);"+
					"INSERT INTO items VALUES ("+c.stored+", 'Mug'); INSERT INTO tariffs VALUES ('p1', "+c.stored+
					", 5), ('p2', "+c.stored+", 6)")
			m := s.mapping()
			for _, spelling := range append(c.same, c.id) {
				r, err := m.Read(t.Context(), []string{spelling})
				require.NoError(t, err)
				requireProduct(t, r, c.id)
				require.Equal(t, r.States[c.id], r.State(spelling))
				require.Empty(t, r.Absent)
				require.Empty(t, r.NotIDs)
			}
			for id, spelled := range c.absent {
				r, err := m.Read(t.Context(), []string{id})
				require.NoError(t, err)
				require.Equal(t, []string{spelled}, r.Absent, "%q", id)
				require.Empty(t, r.States)
				require.Empty(t, r.NotIDs)
			}
			// All at once.
			var all []string
			for id := range c.absent {
				all = append(all, id)
			}
			all = slices.Concat(c.notIDs, all, c.same, []string{c.id})
			r, err := m.Read(t.Context(), all)
			require.NoError(t, err)
			requireProduct(t, r, c.id)
			require.ElementsMatch(t, c.notIDs, r.NotIDs)
			for _, spelling := range append(c.same, c.id) {
				require.Equal(t, r.States[c.id], r.State(spelling), "%q", spelling)
			}
			for id, spelled := range c.absent {
				require.Contains(t, r.Absent, spelled)
				require.Zero(t, r.State(id))
			}
			ids, err := m.IDs(t.Context(), "", 10)
			require.NoError(t, err)
			require.Equal(t, []string{c.id}, ids)
		})
	}
}

// requireProduct checks that the one product was read once, with its two prices.
func requireProduct(t *testing.T, r mapping.Reading, id string) {
	t.Helper()
	require.Len(t, r.States, 1)
	state := r.States[id]
	require.NotNil(t, state.Product, "%+v", r)
	require.Empty(t, state.Faults)
	require.Equal(t, id, state.Product.GetId())
	var prices []string
	for _, p := range state.Product.GetPrices() {
		prices = append(prices, p.GetId())
	}
	require.ElementsMatch(t, []string{"p1", "p2"}, prices)
}

func TestRead_AcceptsOtherSpellingInPrices(t *testing.T) {
	s := newShop(t,
		`CREATE EXTENSION citext; CREATE TABLE items (id citext, name text); CREATE TABLE tariffs (id text, item citext, cents int);
		INSERT INTO items VALUES ('Mug', 'Mug'), ('cup', 'Cup'); INSERT INTO tariffs VALUES ('p1', 'MUG', 5), ('p2', 'mug', 6), ('p3', 'CUP', 7)`)
	r := s.read("mug", "CUP", "plate")
	require.Len(t, r.States, 2)
	require.Len(t, r.States["Mug"].Product.GetPrices(), 2)
	require.Len(t, r.States["cup"].Product.GetPrices(), 1)
	require.Equal(t, map[string]string{"mug": "Mug", "CUP": "cup"}, r.Spelled)
	require.Equal(t, []string{"plate"}, r.Absent)
}

// The two queries may have the product's id in different types.
func TestRead_AcceptsOtherTypeInPricesQuery(t *testing.T) {
	s := newShop(t, `CREATE TABLE items (id integer, name text); CREATE TABLE tariffs (id text, item text, cents int);
		INSERT INTO items VALUES (7, 'Mug'); INSERT INTO tariffs VALUES ('p1', '7', 5), ('p2', '7', 6), ('p3', '007', 6)`)
	requireProduct(t, s.read("007"), "7")
	requireProduct(t, s.read("7", "+7"), "7")

	other := newShop(t,
		`CREATE TABLE items (id text, name text); CREATE TABLE tariffs (id text, item integer, cents int);
		INSERT INTO items VALUES ('7', 'Mug'), ('gift', 'Gift'); INSERT INTO tariffs VALUES ('p1', 7, 5), ('p2', 7, 6)`)
	r := other.read("7", "gift")
	require.Len(t, r.States["7"].Product.GetPrices(), 2)
	require.NotNil(t, r.States["gift"].Product, "an id that no price can name")
	require.Empty(t, r.States["gift"].Product.GetPrices())
	require.Nil(t, r.States["gift"].Failure)
}

func TestRead_AcceptsIDExpressions(t *testing.T) {
	s := newShop(t,
		`CREATE TABLE items (id integer, name text); CREATE TABLE tariffs (id text, item integer, cents int);
		INSERT INTO items VALUES (7, 'Mug'); INSERT INTO tariffs VALUES ('p1', 7, 5), ('p2', 7, 6)`)
	s.queries.Products = `SELECT 'item-' || id AS id, name FROM items`
	s.queries.Prices = `SELECT id, 'item-' || item AS product, 'eur' AS currency, cents AS unit_amount FROM tariffs`
	require.Equal(t, "text", s.mapping().IDType())
	requireProduct(t, s.read("item-7"), "item-7")
	require.Equal(t, []string{"7"}, s.read("7").Absent)
}

func TestRead_ReportsDuplicates(t *testing.T) {
	s := newShop(t,
		`CREATE EXTENSION citext; CREATE TABLE items (id citext, name text); CREATE TABLE tariffs (id text, item citext, cents int);
		INSERT INTO items VALUES ('mug', 'Mug'), ('MUG', 'Other'), ('cup', 'Cup'), ('cup', 'Tasse'), ('cup', 'Kop'), ('plate', 'Plate')`)
	r := s.read("mug", "cup", "plate")
	require.Len(t, r.States["cup"].Faults, 1)
	require.Equal(t, "id", r.States["cup"].Faults[0].Field)
	require.Contains(t, r.States["cup"].Faults[0].Message, "3 times")
	require.Contains(t, r.States["cup"].Faults[0].Message, "join")
	for _, id := range []string{"mug", "MUG"} {
		require.Len(t, r.States[id].Faults, 1, id)
		require.Contains(t, r.States[id].Faults[0].Message, `same value of type citext`)
	}
	require.Empty(t, r.States["plate"].Faults)
}

func TestRead_DetectsChangedType(t *testing.T) {
	s := newShop(t,
		`CREATE TABLE items (id integer, name text); CREATE TABLE tariffs (id text, item integer, cents int); INSERT INTO items VALUES (7, 'Mug')`)
	m := s.mapping()
	s.exec(`ALTER TABLE items ALTER id TYPE bigint; INSERT INTO items VALUES (3000000000, 'Big')`)
	_, err := m.Read(t.Context(), []string{"3000000000"})
	require.ErrorIs(t, err, mapping.ErrChanged, "it must not be in NotIDs")
	s.exec(`ALTER TABLE items ALTER id TYPE text`)
	_, err = m.Read(t.Context(), []string{"7"})
	require.ErrorIs(t, err, mapping.ErrChanged)
	require.ErrorContains(t, err, "products query")
	requireIDs(t, s.mapping(), "3000000000", "7")
}

// A table with other rows has thousands of values that are not ids. They must cost next to nothing.
func TestRead_SkipsManyNonIDsFast(t *testing.T) {
	s := newShop(t,
		`CREATE TABLE items (id integer PRIMARY KEY, name text); CREATE TABLE tariffs (id text, item integer, cents int);
		INSERT INTO items VALUES (7, 'Mug'); INSERT INTO tariffs VALUES ('p1', 7, 5), ('p2', 7, 6)`)
	var ids, notIDs []string
	for i := range 20000 {
		notIDs = append(notIDs, fmt.Sprintf("post-%d", i))
	}
	ids = append(append(ids, notIDs...), " 7", "face")
	r := s.read(ids...)
	requireProduct(t, r, "7")
	require.ElementsMatch(t, append(notIDs, "face"), r.NotIDs)
	require.True(t, r.Saw(3))
}

func TestIDs_ReturnsPages(t *testing.T) {
	s := newShop(t,
		`CREATE TABLE items (id integer, name text); CREATE TABLE tariffs (id text, item integer, cents int);
		INSERT INTO items SELECT i, 'x' FROM generate_series(1, 25) i; INSERT INTO items VALUES (NULL, 'none'), (25, 'twice')`)
	m := s.mapping()
	var all []string
	for after := ""; ; after = all[len(all)-1] {
		page, err := m.IDs(t.Context(), after, 10)
		require.NoError(t, err)
		if len(page) == 0 {
			break
		}
		all = append(all, page...)
	}
	require.Len(t, all, 25)
	for i, id := range all {
		require.Equal(t, fmt.Sprint(i+1), id)
	}
}

func requireIDs(t *testing.T, m *mapping.Mapping, want ...string) {
	t.Helper()
	ids, err := m.IDs(t.Context(), "", 1000)
	require.NoError(t, err)
	require.Equal(t, want, ids)
}
