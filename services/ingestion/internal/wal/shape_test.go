package wal

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/local/localtest"
)

// shapes is a schema and the source that watches it.
type shapes struct {
	t      *testing.T
	pool   *pgxpool.Pool
	source *Source
	reads  Reads
}

func newShapes(t *testing.T, url string) *shapes {
	t.Helper()
	s := &shapes{t: t, pool: localtest.Pool(t, url), source: &Source{Publication: "driftless"}}
	s.exec(`CREATE SCHEMA shop; CREATE SCHEMA front`)
	s.exec(`CREATE TABLE shop.items (id text PRIMARY KEY, name text, loud text GENERATED ALWAYS AS (upper(name)) STORED)
		PARTITION BY RANGE (id)`)
	s.exec(`CREATE TABLE shop.items_a PARTITION OF shop.items FOR VALUES FROM ('a') TO ('n')`)
	s.exec(`CREATE TABLE shop.tariffs (id text PRIMARY KEY, item text DEFAULT 'mug',
		loud text GENERATED ALWAYS AS (upper(item)) STORED)`)
	s.exec(`CREATE TABLE shop.tariffs_eu (PRIMARY KEY (id)) INHERITS (shop.tariffs)`)
	s.exec(`CREATE VIEW shop.shown AS SELECT id FROM shop.items`)
	s.exec(`CREATE FUNCTION shop.shout(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT upper($1)'`)
	s.exec(`CREATE PUBLICATION driftless FOR TABLES IN SCHEMA shop WITH (publish_via_partition_root)`)
	s.source.Tables = []Table{
		{OID: s.oid("shop.items"), Name: "shop.items"},
		{OID: s.oid("shop.tariffs"), Name: "shop.tariffs", Children: []uint32{s.oid("shop.tariffs_eu")}},
	}
	s.reads = Reads{Views: []uint32{s.oid("shop.shown")}}
	var function uint32
	require.NoError(t, s.pool.QueryRow(t.Context(), `SELECT 'shop.shout(text)'::regprocedure::oid`).Scan(&function))
	s.reads.Functions = []uint32{function}
	return s
}

func (s *shapes) exec(sql string) {
	s.t.Helper()
	_, err := s.pool.Exec(s.t.Context(), sql)
	require.NoError(s.t, err, sql)
}

func (s *shapes) oid(relation string) (oid uint32) {
	s.t.Helper()
	require.NoError(s.t, s.pool.QueryRow(s.t.Context(), `SELECT $1::text::regclass::oid`, relation).Scan(&oid))
	return oid
}

// read reads the shape with the connections of a pool.
func (s *shapes) read(pool *pgxpool.Pool) Shape {
	s.t.Helper()
	shape, err := s.source.Shape(s.t.Context(), pool, s.reads)
	require.NoError(s.t, err)
	return shape
}

// inDatabase runs a statement on the current database, whose name takes the place of %I.
func inDatabase(statement string) string {
	return `DO $do$ BEGIN EXECUTE format($sql$` + statement + `$sql$, current_database()); END $do$`
}

func TestShape_ChangesWithEachPart(t *testing.T) {
	t.Parallel()
	s := newShapes(t, localtest.Postgres(t)+"&search_path=front,shop")
	// ALTER TABLE ... SET EXPRESSION of a virtual column changes only such rows. Versions before 18 have no virtual
	// columns.
	const otherExpression = `UPDATE pg_attrdef SET adbin = adbin FROM pg_attribute
		WHERE attrelid = adrelid AND attnum = adnum AND attgenerated <> '' AND adrelid = `
	for _, c := range []struct {
		change string
		// part is the name of the part that changes, empty if none does.
		part string
	}{
		{`ALTER PUBLICATION driftless DROP TABLES IN SCHEMA shop`, "publication driftless"},
		{`ALTER PUBLICATION driftless ADD TABLE shop.items`, "publication driftless"},
		{
			`BEGIN; ALTER TABLE shop.items DETACH PARTITION shop.items_a;
			ALTER TABLE shop.items ATTACH PARTITION shop.items_a FOR VALUES FROM ('a') TO ('n'); COMMIT`,
			"partitions of shop.items",
		},
		{
			`BEGIN; ALTER TABLE shop.tariffs_eu NO INHERIT shop.tariffs;
			ALTER TABLE shop.tariffs_eu INHERIT shop.tariffs; COMMIT`,
			"children of shop.tariffs",
		},
		{otherExpression + `'shop.tariffs'::regclass`, "table shop.tariffs"},
		{otherExpression + `'shop.items_a'::regclass`, "partitions of shop.items"},
		{`ALTER TABLE shop.tariffs ALTER item SET DEFAULT 'cup'`, ""},
		{inDatabase(`ALTER DATABASE %I SET app.vat = '20'`), "settings of the database and the role"},
		{
			inDatabase(`ALTER ROLE CURRENT_USER IN DATABASE %I SET app.vat = '21'`),
			"settings of the database and the role",
		},
		{
			`CREATE OR REPLACE FUNCTION shop.shout(text) RETURNS text LANGUAGE sql AS 'SELECT $1'`,
			"function shop.shout",
		},
		// The queries may name these without a schema, and then mean the new ones.
		{`CREATE TABLE front.tariffs ()`, "table shop.tariffs"},
		{`CREATE TABLE front.shown ()`, "view shop.shown"},
		{
			`CREATE FUNCTION front.shout(text) RETURNS text LANGUAGE sql AS 'SELECT $1'`,
			"function shop.shout",
		},
	} {
		before := s.read(s.pool)
		s.exec(c.change)
		require.Equal(t, c.part, strings.Join(s.read(s.pool).Changed(before), ", "), c.change)
	}
}

// The shape has xmin of rows of the catalogs.
func TestShape_IsTheSameAfterVacuum(t *testing.T) {
	t.Parallel()
	s := newShapes(t, localtest.Postgres(t))
	before := s.read(s.pool)
	for _, catalog := range []string{
		"pg_inherits", "pg_attrdef", "pg_publication", "pg_publication_namespace", "pg_rewrite", "pg_proc",
	} {
		s.exec(`VACUUM (FREEZE) ` + catalog)
		s.exec(`VACUUM (FULL, FREEZE) ` + catalog)
	}
	require.Empty(t, s.read(s.pool).Changed(before))
}

// A connection keeps the search path with which it was opened.
func TestShape_NamesPartsWithoutSearchPath(t *testing.T) {
	t.Parallel()
	url := localtest.Postgres(t)
	s := newShapes(t, url)
	names := func(shape Shape) []string { return slices.Sorted(maps.Keys(shape)) }
	want := s.read(s.pool)
	require.Contains(t, names(want), "table shop.tariffs")
	require.Contains(t, names(want), "view shop.shown")
	shop := s.read(localtest.Pool(t, url+"&search_path=shop"))
	require.Equal(t, names(want), names(shop))
	require.Empty(t, s.read(localtest.Pool(t, url+"&search_path=front,shop")).Changed(shop), "front hides nothing")
}
