package wal

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Shape is everything except rows that decides what the log has and what the mapping's queries return. It includes
// tables with their storage and replica identities, partitions, policies, the publication, the definitions of views and
// functions, and the settings of new connections. Each part has a readable name. If two reads have equal shapes, the
// schema did not change between them.
type Shape map[string]string

// Reads are the relations and functions that the mapping's queries read.
type Reads struct {
	// Relations are tables and materialized views, by OID in pg_class.
	Relations []uint32
	// Views and Functions by OID.
	Views, Functions []uint32
}

// partitions selects all parts of the partitioned tables among $1, with xmin of the row that attaches each. It does not
// use pg_partition_tree, which locks each of them.
const partitions = `WITH RECURSIVE parts(root, part, attached) AS (
	SELECT oid, oid AS part, NULL::xid FROM pg_class WHERE oid = ANY ($1::oid[]) AND relkind = 'p'
	UNION ALL SELECT p.root, i.inhrelid, i.xmin FROM parts p JOIN pg_inherits i ON i.inhparent = p.part
)`

// shapeQuery reads the parts of the shape. $1 are tables, $2 views and $3 functions by OID, $4 the names of the watched
// tables, and $5 the name of the publication.
//
// xmin detects any change, because a row that was updated, or removed and added again, has another xmin. VACUUM keeps
// it: it marks a row as frozen, and VACUUM FULL copies the mark
// (https://www.postgresql.org/docs/current/routine-vacuuming.html#VACUUM-FOR-WRAPAROUND).
//
// The facts about partitions are not joined with each other. Postgres estimates a recursive query badly, and would
// choose a slow join for thousands of partitions.
//
// Names have their schema. A cast to regclass would omit it if the search path of the connection has the schema. A new
// table or function may hide one that a query names without its schema, so the values have the visibility.
const shapeQuery = partitions + `, names(oid, name) AS (
	SELECT c.oid, quote_ident(n.nspname) || '.' || quote_ident(c.relname)
	FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = ANY ($1::oid[] || $2::oid[])
)
SELECT 'table ' || n.name, concat_ws(' ', c.oid, c.relfilenode, c.relkind, c.relpersistence, c.relreplident,
	c.relrowsecurity, c.relforcerowsecurity, row_security_active(c.oid), pg_table_is_visible(c.oid),
	(SELECT md5(string_agg(concat_ws(' ', a.attnum, a.attname, a.atttypid, a.atttypmod, a.attgenerated, a.attisdropped,
			d.oid, d.xmin), ',' ORDER BY a.attnum))
		FROM pg_attribute a
		LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.attgenerated <> ''
		WHERE a.attrelid = c.oid AND a.attnum > 0),
	(SELECT string_agg(concat_ws(' ', indexrelid, indisprimary, indisreplident), ',' ORDER BY indexrelid)
		FROM pg_index WHERE indrelid = c.oid AND (indisprimary OR indisreplident)))
	FROM pg_class c JOIN names n ON n.oid = c.oid WHERE c.oid = ANY ($1::oid[])
UNION ALL
SELECT 'partitions of ' || n.name, md5(string_agg(f.fact, ',' ORDER BY f.fact COLLATE "C"))
	FROM (
		SELECT p.root, concat_ws(' ', l.oid, l.relfilenode, l.relreplident, l.relkind, p.attached)
		FROM parts p JOIN pg_class l ON l.oid = p.part
		UNION ALL
		SELECT p.root, concat_ws(' ', 'index', i.indrelid, i.indexrelid, i.indisprimary, i.indisreplident)
		FROM parts p JOIN pg_index i ON i.indrelid = p.part WHERE i.indisprimary OR i.indisreplident
		UNION ALL
		SELECT p.root, concat_ws(' ', 'expression', d.oid, d.xmin)
		FROM parts p JOIN pg_attrdef d ON d.adrelid = p.part
		JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum WHERE a.attgenerated <> ''
	) f(root, fact) JOIN names n ON n.oid = f.root GROUP BY n.name
UNION ALL
SELECT 'children of ' || n.name, string_agg(concat_ws(' ', i.inhrelid, i.xmin), ',' ORDER BY i.inhrelid)
	FROM pg_class t JOIN names n ON n.oid = t.oid JOIN pg_inherits i ON i.inhparent = t.oid
	WHERE t.oid = ANY ($1::oid[]) AND t.relkind <> 'p' GROUP BY n.name
UNION ALL
SELECT 'policies of ' || n.name, string_agg(concat_ws(' ', p.oid, p.xmin), ',' ORDER BY p.oid)
	FROM pg_policy p JOIN names n ON n.oid = p.polrelid WHERE p.polrelid = ANY ($1::oid[]) GROUP BY n.name
UNION ALL
SELECT 'view ' || n.name, string_agg(concat_ws(' ', r.oid, r.xmin, pg_table_is_visible(r.ev_class)), ',' ORDER BY r.oid)
	FROM pg_rewrite r JOIN names n ON n.oid = r.ev_class WHERE r.ev_class = ANY ($2::oid[]) GROUP BY n.name
UNION ALL
SELECT 'function ' || quote_ident(n.nspname) || '.' || quote_ident(p.proname),
	string_agg(concat_ws(' ', p.oid, p.xmin, pg_function_is_visible(p.oid)), ',' ORDER BY p.oid)
	FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
	WHERE p.oid = ANY ($3::oid[]) GROUP BY n.nspname, p.proname
UNION ALL
SELECT 'values of enumerations', coalesce(md5(string_agg(concat_ws(' ', enumtypid, oid, enumlabel), ',' ORDER BY oid)), '') FROM pg_enum
UNION ALL
SELECT 'watched table ' || n, coalesce(to_regclass(n)::oid::text, 'gone') FROM unnest($4::text[]) n
UNION ALL
SELECT 'publication ' || p.pubname, concat_ws(' ', p.oid, p.xmin,
	'tables', (SELECT string_agg(concat_ws(' ', oid, xmin), ',' ORDER BY oid) FROM pg_publication_rel WHERE prpubid = p.oid),
	'schemas', (SELECT string_agg(concat_ws(' ', oid, xmin), ',' ORDER BY oid) FROM pg_publication_namespace WHERE pnpubid = p.oid))
	FROM pg_publication p WHERE p.pubname = $5
UNION ALL
SELECT 'settings of the database and the role', coalesce(md5(string_agg(concat_ws(' ', s.setdatabase <> 0, s.setrole <> 0,
		s.setconfig), ',' ORDER BY s.setdatabase <> 0, s.setrole <> 0)), '')
	FROM pg_db_role_setting s
	WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
	AND s.setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = session_user))`

// Shape reads the shape. It takes about 1 ms for a few dozen tables.
func (s *Source) Shape(ctx context.Context, pool *pgxpool.Pool, reads Reads) (Shape, error) {
	tables := s.tables(reads)
	names := make([]string, len(s.Tables))
	for i, t := range s.Tables {
		names[i] = t.Name
	}
	rows, err := pool.Query(ctx, shapeQuery, tables, reads.Views, reads.Functions, names, s.Publication)
	if err != nil {
		return nil, fmt.Errorf("read the schema of the catalog: %w", err)
	}
	defer rows.Close()
	out := Shape{}
	for rows.Next() {
		var name string
		var value *string
		if err := rows.Scan(&name, &value); err != nil {
			return nil, fmt.Errorf("read the schema of the catalog: %w", err)
		}
		if value != nil {
			out[name] = *value
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read the schema of the catalog: %w", err)
	}
	return out, nil
}

// Changed returns the names of the parts that differ, sorted.
func (s Shape) Changed(since Shape) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(s)) {
		if was, ok := since[name]; !ok || was != s[name] {
			out = append(out, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(since)) {
		if _, ok := s[name]; !ok {
			out = append(out, name)
		}
	}
	return out
}

// Fingerprint returns a text that differs between different shapes.
func (s Shape) Fingerprint() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(s)) {
		fmt.Fprintf(&b, "%s: %s\n", name, s[name])
	}
	sum := sha256.Sum256([]byte(b.String()))
	return hex.EncodeToString(sum[:16])
}

// CountWrites counts the rows that were written to the watched tables and to those that the queries read, including
// rolled-back transactions. It comes from Postgres' statistics, which are about 1 s late and reset by a crash. A
// different count means that something was written. An equal count does not mean that nothing was
// (https://www.postgresql.org/docs/current/monitoring-stats.html).
func (s *Source) CountWrites(ctx context.Context, pool *pgxpool.Pool, reads Reads) (int64, error) {
	var n int64
	err := pool.QueryRow(ctx,
		partitions+` SELECT coalesce(sum(pg_stat_get_tuples_inserted(r.oid) + pg_stat_get_tuples_updated(r.oid) + pg_stat_get_tuples_deleted(r.oid)), 0)::bigint
		FROM (SELECT unnest($1::oid[]) UNION SELECT part FROM parts) r(oid)`, s.tables(reads)).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count the writes to the tables: %w", err)
	}
	return n, nil
}

// tables returns the OIDs of the watched tables and of those that the queries read.
func (s *Source) tables(reads Reads) []uint32 {
	out := slices.Clone(reads.Relations)
	for _, t := range s.Tables {
		out = append(append(out, t.OID), t.Children...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
