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
// tables with their storage and replica identities, partitions, policies, the publication, and the definitions of views
// and functions. Each part has a readable name. If two reads have equal shapes, the schema did not change between them.
type Shape map[string]string

// Reads are the relations and functions that the mapping's queries read.
type Reads struct {
	// Relations are tables and materialized views, by OID in pg_class.
	Relations []uint32
	// Views and Functions by OID.
	Views, Functions []uint32
}

// partitions selects all parts of the partitioned tables among $1. It does not use pg_partition_tree, which locks each
// of them.
const partitions = `WITH RECURSIVE parts(root, part) AS (
	SELECT oid, oid FROM pg_class WHERE oid = ANY ($1::oid[]) AND relkind = 'p'
	UNION ALL SELECT p.root, i.inhrelid FROM parts p JOIN pg_inherits i ON i.inhparent = p.part
) `

// Shape reads the shape. It takes about 1 ms for a few dozen tables.
func (s *Source) Shape(ctx context.Context, pool *pgxpool.Pool, reads Reads) (Shape, error) {
	tables := s.tables(reads)
	names := make([]string, len(s.Tables))
	for i, t := range s.Tables {
		names[i] = t.Name
	}
	// xmin detects any change, because an updated row has another xmin.
	rows, err := pool.Query(ctx, partitions+`
		SELECT 'table ' || c.oid::regclass, concat_ws(' ', c.oid, c.relfilenode, c.relkind, c.relpersistence, c.relreplident, c.relrowsecurity,
			c.relforcerowsecurity, row_security_active(c.oid),
			(SELECT md5(string_agg(concat_ws(' ', attnum, attname, atttypid, atttypmod, attgenerated, attisdropped), ',' ORDER BY attnum))
				FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0),
			(SELECT string_agg(concat_ws(' ', indexrelid, indisprimary, indisreplident), ',' ORDER BY indexrelid)
				FROM pg_index WHERE indrelid = c.oid AND (indisprimary OR indisreplident)))
			FROM pg_class c WHERE c.oid = ANY ($1::oid[])
		UNION ALL
		SELECT 'partitions of ' || t.oid::regclass, coalesce(md5(string_agg(concat_ws(' ', l.oid, l.relfilenode, l.relreplident, l.relkind, x.ids), ',' ORDER BY l.oid)), '')
			FROM parts p JOIN pg_class t ON t.oid = p.root JOIN pg_class l ON l.oid = p.part
			LEFT JOIN LATERAL (SELECT string_agg(concat_ws(' ', indexrelid, indisprimary, indisreplident), ',' ORDER BY indexrelid) AS ids
				FROM pg_index WHERE indrelid = l.oid AND (indisprimary OR indisreplident)) x ON true
			GROUP BY t.oid
		UNION ALL
		SELECT 'children of ' || t.oid::regclass, string_agg(i.inhrelid::text, ',' ORDER BY i.inhrelid)
			FROM pg_class t JOIN pg_inherits i ON i.inhparent = t.oid WHERE t.oid = ANY ($1::oid[]) AND t.relkind <> 'p' GROUP BY t.oid
		UNION ALL
		SELECT 'policies of ' || polrelid::regclass, string_agg(concat_ws(' ', oid, xmin), ',' ORDER BY oid)
			FROM pg_policy WHERE polrelid = ANY ($1::oid[]) GROUP BY polrelid
		UNION ALL
		SELECT 'view ' || ev_class::regclass, string_agg(concat_ws(' ', oid, xmin), ',' ORDER BY oid)
			FROM pg_rewrite WHERE ev_class = ANY ($2::oid[]) GROUP BY ev_class
		UNION ALL
		SELECT 'function ' || oid::regprocedure, concat_ws(' ', oid, xmin) FROM pg_proc WHERE oid = ANY ($3::oid[])
		UNION ALL
		SELECT 'values of enumerations', coalesce(md5(string_agg(concat_ws(' ', enumtypid, oid, enumlabel), ',' ORDER BY oid)), '') FROM pg_enum
		UNION ALL
		SELECT 'watched table ' || n, coalesce(to_regclass(n)::oid::text, 'gone') FROM unnest($4::text[]) n
		UNION ALL
		SELECT 'publication ' || p.pubname, concat_ws(' ', p.oid, p.xmin, (SELECT string_agg(concat_ws(' ', oid, xmin), ',' ORDER BY oid)
			FROM pg_publication_rel WHERE prpubid = p.oid)) FROM pg_publication p WHERE p.pubname = $5`,
		tables, reads.Views, reads.Functions, names, s.Publication)
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
		partitions+`SELECT coalesce(sum(pg_stat_get_tuples_inserted(r.oid) + pg_stat_get_tuples_updated(r.oid) + pg_stat_get_tuples_deleted(r.oid)), 0)::bigint
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
