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

// Shape is everything outside of the rows that decides what the log tells, and what the mapping's queries read: tables
// with their storage and identities, partitions, policies, the publication, definitions of views and functions. Each
// part has a name for people. Two readings of the catalog with equal shapes mean that no change of the schema came
// between them.
type Shape map[string]string

// Reads are the parts of the database that the mapping's queries read.
type Reads struct {
	// Relations are tables and materialized views, by OID in pg_class.
	Relations []uint32
	// Views and Functions by OID.
	Views, Functions []uint32
}

// partitions are all parts of the partitioned tables among $1. Not by pg_partition_tree, which locks each of them.
const partitions = `WITH RECURSIVE parts(root, part) AS (
	SELECT oid, oid FROM pg_class WHERE oid = ANY ($1::oid[]) AND relkind = 'p'
	UNION ALL SELECT p.root, i.inhrelid FROM parts p JOIN pg_inherits i ON i.inhparent = p.part
) `

// Shape reads the shape. It takes about a millisecond for a few dozen tables.
func (s *Source) Shape(ctx context.Context, pool *pgxpool.Pool, reads Reads) (Shape, error) {
	tables := s.tables(reads)
	names := make([]string, len(s.Tables))
	for i, t := range s.Tables {
		names[i] = t.Name
	}
	// Stored: a row that is written over has another xmin, whatever changed in it.
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
		return nil, fmt.Errorf("look at the schema of the catalog: %w", err)
	}
	defer rows.Close()
	out := Shape{}
	for rows.Next() {
		var name string
		var value *string
		if err := rows.Scan(&name, &value); err != nil {
			return nil, fmt.Errorf("look at the schema of the catalog: %w", err)
		}
		if value != nil {
			out[name] = *value
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("look at the schema of the catalog: %w", err)
	}
	return out, nil
}

// Changed names the parts that differ, in order.
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

// Fingerprint differs between shapes that differ.
func (s Shape) Fingerprint() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(s)) {
		fmt.Fprintf(&b, "%s: %s\n", name, s[name])
	}
	sum := sha256.Sum256([]byte(b.String()))
	return hex.EncodeToString(sum[:16])
}

// Writes counts the rows that were written to what the queries read and to the watched tables, in transactions that
// were rolled back too. It comes from Postgres' statistics: about a second late, and started again by a crash. That it
// differs says that something was written, and not that nothing was if it does not
// (https://www.postgresql.org/docs/current/monitoring-stats.html).
func (s *Source) Writes(ctx context.Context, pool *pgxpool.Pool, reads Reads) (int64, error) {
	var n int64
	err := pool.QueryRow(ctx,
		partitions+`SELECT coalesce(sum(pg_stat_get_tuples_inserted(r.oid) + pg_stat_get_tuples_updated(r.oid) + pg_stat_get_tuples_deleted(r.oid)), 0)::bigint
		FROM (SELECT unnest($1::oid[]) UNION SELECT part FROM parts) r(oid)`, s.tables(reads)).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("ask how much was written to the tables: %w", err)
	}
	return n, nil
}

// tables are the OIDs of what the queries read and of the watched tables.
func (s *Source) tables(reads Reads) []uint32 {
	out := slices.Clone(reads.Relations)
	for _, t := range s.Tables {
		out = append(append(out, t.OID), t.Children...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
