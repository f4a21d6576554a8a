package mapping_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/ingestion/internal/mapping"
)

const withDependencies = `
	CREATE SCHEMA other;
	CREATE TABLE items (id text PRIMARY KEY, name text, category int);
	CREATE TABLE other."Category" (id int PRIMARY KEY, label text);
	CREATE TABLE tariffs (id text, item text, cents int) PARTITION BY LIST (id);
	CREATE TABLE tariffs_a PARTITION OF tariffs FOR VALUES IN ('a');
	CREATE TABLE rates (factor int);
	CREATE TABLE notes (item text, note text);
	CREATE VIEW labels AS SELECT id, label FROM other."Category";
	CREATE VIEW named AS SELECT i.id, i.name || ' ' || l.label AS name FROM items i JOIN labels l ON l.id = i.category;
	CREATE FUNCTION factor() RETURNS int LANGUAGE sql STABLE BEGIN ATOMIC SELECT max(factor) FROM rates; END;
	CREATE FUNCTION note(i text) RETURNS text LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN (SELECT note FROM notes WHERE item = i); END $$;
	CREATE FUNCTION shout(t text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN upper(t); END $$;
	CREATE MATERIALIZED VIEW cents AS SELECT id, item, cents FROM tariffs;`

func namesOf(relations []mapping.Relation) (out []string) {
	for _, r := range relations {
		out = append(out, r.Name)
	}
	return out
}

func TestDependencies_FollowsViewsAndParsedFunctions(t *testing.T) {
	s := newShop(t, withDependencies)
	s.queries.Products = `SELECT id, shout(name) AS name FROM named -- a comment`
	s.queries.Prices = `SELECT id, item AS product, 'eur' AS currency, cents * factor() AS unit_amount FROM tariffs;`
	d, err := s.mapping().Dependencies(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"items", `other."Category"`, "rates", "tariffs"}, namesOf(d.Relations))
	require.Equal(t, "rrrp", kinds(d.Relations))
	require.Equal(t, []string{"labels", "named"}, namesOf(d.Views))
	require.Empty(t, d.Functions, "an immutable function reads nothing")
	require.True(t, d.Complete)

	s.exec(`CREATE OR REPLACE VIEW labels AS SELECT id, lower(label) AS label FROM other."Category"`)
	after, err := s.mapping().Dependencies(t.Context())
	require.NoError(t, err)
	require.NotEqual(t, d.Definitions, after.Definitions)
	s.exec(`CREATE OR REPLACE FUNCTION shout(t text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN upper(t) || '!'; END $$`)
	last, err := s.mapping().Dependencies(t.Context())
	require.NoError(t, err)
	require.NotEqual(t, after.Definitions, last.Definitions)
}

func kinds(relations []mapping.Relation) (out string) {
	for _, r := range relations {
		out += string(r.Kind)
	}
	return out
}

func TestDependencies_NamesFunctionsThatCannotBeFollowed(t *testing.T) {
	s := newShop(t, withDependencies)
	s.queries.Products = `SELECT id, note(id) AS name FROM items`
	s.queries.Prices = `SELECT id, item AS product, 'eur' AS currency, cents AS unit_amount FROM cents`
	d, err := s.mapping().Dependencies(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"cents", "items"}, namesOf(d.Relations), "the rows of a materialized view are its own")
	require.Equal(t, "mr", kinds(d.Relations))
	require.Equal(t, []string{"note(text)"}, namesOf(d.Functions))
	require.False(t, d.Complete)
}

func TestDependencies_UsesPlansWithoutRightToCreateViews(t *testing.T) {
	s := newShop(t, withDependencies)
	s.exec(`DO $$ BEGIN EXECUTE 'REVOKE TEMP ON DATABASE ' || current_database() || ' FROM PUBLIC'; END $$`)
	s.queries.Products = `SELECT id, name FROM named`
	s.pool = s.as("reader_of_dependencies")
	d, err := s.mapping().Dependencies(t.Context())
	require.NoError(t, err)
	require.Contains(t, namesOf(d.Relations), "items")
	require.Contains(t, namesOf(d.Relations), "tariffs", "a partition counts as its root")
	require.False(t, d.Complete)
	found := s.check()
	require.Contains(t, found[len(found)-1], "GRANT TEMPORARY ON DATABASE test_")
	require.Contains(t, found[len(found)-1], " TO reader_of_dependencies;")
}
