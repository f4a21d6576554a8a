package wal

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/driftless-sync/driftless/services/ingestion/internal/finding"
)

// Inspect checks everything that reading the log needs. It changes nothing in the database. Its findings have the
// statements that fix them. It also completes s.Tables: it sets Narrow, and clears a Filter that cannot be used.
func (s *Source) Inspect(ctx context.Context, pool *pgxpool.Pool) (finding.List, error) {
	var found finding.List
	version, err := serverVersion(ctx, pool)
	if err != nil {
		return nil, err
	}
	if err := inspectServer(ctx, pool, &found); err != nil {
		return nil, err
	}
	for i := range s.Tables {
		if err := s.inspectTable(ctx, pool, &s.Tables[i], version, &found); err != nil {
			return nil, err
		}
	}
	return found, nil
}

func inspectServer(ctx context.Context, pool *pgxpool.Pool, found *finding.List) error {
	var level, role string
	var mayReplicate bool
	err := pool.QueryRow(ctx, `SELECT current_setting('wal_level'), current_user, r.rolreplication OR r.rolsuper
		OR EXISTS (SELECT FROM pg_roles m
			WHERE m.rolname = 'rds_replication' AND pg_has_role(current_user, m.oid, 'member'))
		FROM pg_roles r WHERE r.rolname = current_user`).Scan(&level, &role, &mayReplicate)
	if err != nil {
		return fmt.Errorf("read the settings of the catalog database: %w", err)
	}
	if level != "logical" {
		found.As(finding.WALLevel).Refusef("ALTER SYSTEM SET wal_level = logical;",
			"the catalog database has wal_level %s, which does not log row changes; set it to logical and restart "+
				"Postgres",
			level)
	}
	if !mayReplicate {
		found.As(finding.Role).Refusef("ALTER ROLE "+quoted(role)+" REPLICATION;",
			"role %s may not replicate (a superuser can allow it)", role)
	}
	return nil
}

// tableFacts has the properties of a watched table. Its parts are its leaf partitions and the tables that inherit from
// it.
type tableFacts struct {
	// kind, persistence and identity are relkind, relpersistence and relreplident of pg_class
	// (https://www.postgresql.org/docs/current/catalog-pg-class.html).
	kind, persistence, identity string
	// hasRowSecurity reports whether row level security applies to role, the role of the connection.
	hasRowSecurity bool
	role           string
	// identityColumns are the columns of the index that is the replica identity. There are none for FULL.
	identityColumns []string
	// required has the columns that are NOT NULL, and key those of the primary key.
	required, key []string
	// generated has the columns that Postgres computes: when they are written ('s'), or when they are read ('v', since
	// 18).
	generated map[string]string
	// narrow has the parts whose replica identity lacks a column that matters. bare has those among them without any
	// replica identity.
	narrow, bare []string
	// broken has the table and those parts that have REPLICA IDENTITY FULL and a virtual generated column.
	broken []string
	// parts is the number of parts that are no foreign tables. Those have no replica identity and need none.
	parts int
	// foreign has the parts that are foreign tables, and unlogged those whose changes are not in the log.
	foreign, unlogged []string
}

// tableFactsQuery reads the facts of table $1. $2 are the columns that matter, and $3 the tables that inherit from it.
const tableFactsQuery = `
	WITH leaves AS (
		SELECT l.oid, l.relkind, l.relpersistence
		FROM pg_partition_tree($1::oid::regclass) p JOIN pg_class l ON l.oid = p.relid
		WHERE p.isleaf AND l.oid <> $1::oid
		UNION SELECT oid, relkind, relpersistence FROM pg_class WHERE oid = ANY ($3::oid[])
	), identities AS (
		SELECT c.oid, c.relreplident, coalesce((
			SELECT array_agg(a.attname::text)
			FROM pg_index i
			JOIN LATERAL unnest(i.indkey[0:i.indnkeyatts-1]) k(attnum) ON true
			JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
			WHERE i.indrelid = c.oid
			AND (c.relreplident = 'd' AND i.indisprimary OR c.relreplident = 'i' AND i.indisreplident)), '{}') AS columns
		FROM pg_class c WHERE c.oid = $1::oid OR c.oid IN (SELECT oid FROM leaves WHERE relkind <> 'f')
	)
	SELECT c.relkind::text, c.relpersistence::text, c.relreplident::text, row_security_active(c.oid), current_user,
	(SELECT columns FROM identities WHERE oid = c.oid),
	coalesce((SELECT array_agg(attname::text) FROM pg_attribute
		WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped AND attnotnull), '{}'),
	coalesce((SELECT array_agg(a.attname::text) FROM pg_index i
		JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey[0:i.indnkeyatts-1])
		WHERE i.indrelid = c.oid AND i.indisprimary), '{}'),
	coalesce((SELECT json_object_agg(attname, attgenerated::text) FROM pg_attribute
		WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped AND attgenerated <> ''), '{}'),
	coalesce((SELECT array_agg(i.oid::regclass::text ORDER BY 1) FROM identities i
		WHERE i.oid <> c.oid AND i.relreplident <> 'f' AND NOT $2::text[] <@ i.columns), '{}'),
	coalesce((SELECT array_agg(i.oid::regclass::text ORDER BY 1) FROM identities i
		WHERE i.oid <> c.oid AND i.relreplident <> 'f' AND i.columns = '{}'), '{}'),
	coalesce((SELECT array_agg(i.oid::regclass::text ORDER BY 1) FROM identities i
		WHERE i.relreplident = 'f' AND (c.relkind <> 'p' OR i.oid <> c.oid)
		AND EXISTS (SELECT FROM pg_attribute a
			WHERE a.attrelid = i.oid AND a.attgenerated = 'v' AND NOT a.attisdropped)), '{}'),
	(SELECT count(*) FROM leaves WHERE relkind <> 'f'),
	coalesce((SELECT array_agg(oid::regclass::text ORDER BY oid::regclass::text) FROM leaves
		WHERE relkind = 'f'), '{}'),
	coalesce((SELECT array_agg(oid::regclass::text ORDER BY oid::regclass::text) FROM leaves
		WHERE relpersistence = 'u'), '{}')
	FROM pg_class c WHERE c.oid = $1::oid`

func readTableFacts(ctx context.Context, pool *pgxpool.Pool, t *Table) (f tableFacts, err error) {
	err = pool.QueryRow(ctx, tableFactsQuery, t.OID, t.Columns, t.Children).
		Scan(&f.kind, &f.persistence, &f.identity, &f.hasRowSecurity, &f.role, &f.identityColumns, &f.required, &f.key,
			&f.generated, &f.narrow, &f.bare, &f.broken, &f.parts, &f.foreign, &f.unlogged)
	if err != nil {
		return f, fmt.Errorf("inspect watched table %s: %w", t.Name, err)
	}
	return f, nil
}

func (s *Source) inspectTable(ctx context.Context, pool *pgxpool.Pool, t *Table, version int,
	found *finding.List,
) error {
	f, err := readTableFacts(ctx, pool, t)
	if err != nil {
		return err
	}
	wrong := found.As(finding.WatchedTable)
	switch f.kind {
	case "r", "p": // table, partitioned table
	case "v", "m": // view, materialized view
		wrong.Refusef("",
			"%s under catalog.watch is a view, and the log has no changes of a view: name the tables whose rows it "+
				"shows",
			t.Name)
		return nil
	default:
		wrong.Refusef("", "%s under catalog.watch is not a table of this database, so the log has none of its changes",
			t.Name)
		return nil
	}
	if f.persistence != "p" {
		wrong.Refusef("ALTER TABLE "+t.Name+" SET LOGGED;",
			"watched table %s is not logged, so its changes are not in the write-ahead log", t.Name)
	}
	inspectParts(t, f, found)
	if f.hasRowSecurity && !s.AllowRowSecurity {
		found.As(finding.RowSecurity).Refusef("ALTER ROLE "+quoted(f.role)+" BYPASSRLS;",
			"row level security on %s may hide rows from role %s, and hidden products would count as deleted (if a policy "+
				"shows the role every row, set catalog.row_security: allow)", t.Name, f.role)
	}
	for _, c := range t.Columns {
		kind := f.generated[c]
		if kind == "v" || kind == "s" && version < generatedColumnsVersion {
			wrong.Refusef("",
				"column %s of watched table %s is generated, and the log of this Postgres does not have it: watch the "+
					"columns that it is computed from, with an expression as product_id, or a query under products",
				c, t.Name)
		}
	}
	inspectIdentity(t, f, version, found.As(finding.ReplicaIdentity))
	return nil
}

// inspectParts checks whether the log has the changes of the parts of a table.
func inspectParts(t *Table, f tableFacts, found *finding.List) {
	if len(f.unlogged) > 0 {
		statements := make([]string, len(f.unlogged))
		for i, part := range f.unlogged {
			statements[i] = "ALTER TABLE " + part + " SET LOGGED;"
		}
		found.As(finding.WatchedTable).Refusef(strings.Join(statements, " "),
			"partitions or children of watched table %s are not logged, so their changes are not in the write-ahead "+
				"log", t.Name)
	}
	names := strings.Join(f.foreign, ", ")
	switch {
	case len(f.foreign) == 0:
	case f.isPartitioned():
		found.As(finding.Unwatched).Warnf("",
			"partitions of watched table %s are foreign tables (%s), and the log of this database has none of their "+
				"changes: a change there is seen only when the tables are compared (see compare_every)", t.Name, names)
	default:
		// CREATE PUBLICATION adds the children of a table that is not partitioned, and refuses foreign tables.
		found.As(finding.WatchedTable).Refusef("",
			"children of watched table %s are foreign tables (%s), and Postgres publishes no table with such a child: "+
				"let the queries read these tables by their own names, and end the inheritance", t.Name, names)
	}
}

// inspectIdentity checks whether the log has the columns that matter of an old row. It also checks whether publishing
// the table would make changes of the application fail.
func inspectIdentity(t *Table, f tableFacts, version int, found finding.Appender) {
	if len(f.broken) > 0 && version >= generatedColumnsVersion {
		t.harmful = true
		found.Refusef(identityStatements(f.broken, "DEFAULT"),
			"watched table %s, or a part of it, has REPLICA IDENTITY FULL and a virtual generated column: once it is "+
				"published, Postgres refuses every UPDATE and DELETE of it; give it another replica identity", t.Name)
		return
	}
	lacking := slices.DeleteFunc(slices.Clone(t.Columns),
		func(c string) bool { return slices.Contains(f.identityColumns, c) })
	isTooNarrow := !f.isFull() && len(lacking) > 0
	t.harmful = f.kind == "r" && f.lacksIdentity() || t.Filter != "" && isTooNarrow
	if f.isPartitioned() || len(t.Children) > 0 {
		// The filter would apply to parts whose replica identity was not checked.
		t.Filter = ""
	}
	why := "when a row is deleted or changes products, the log does not say which products it concerned (column " +
		strings.Join(lacking, ", ") + ")"
	if f.lacksIdentity() {
		why = "once it is published, Postgres refuses every UPDATE and DELETE of it"
	}
	fullHarms := f.hasVirtualColumn() && version >= generatedColumnsVersion
	switch {
	case len(f.bare) > 0:
		t.harmful = true
		found.Refusef(partsFix(f.bare, fullHarms),
			"partitions or children of watched table %s have no replica identity: once it is published, Postgres "+
				"refuses every UPDATE and DELETE of them", t.Name)
	case f.isPartitioned() && f.parts > 0 && len(f.narrow) == f.parts:
		found.Refusef(partsFix(f.narrow, fullHarms),
			"partitions of watched table %s have no usable replica identity: %s", t.Name, why)
	case f.isPartitioned() && isTooNarrow:
		found.Refusef(fullStatements(append([]string{t.Name}, f.narrow...)),
			"watched table %s has no usable replica identity: %s", t.Name, why)
	case f.isPartitioned() && len(f.narrow) > 0:
		t.Narrow = true
		found.Warnf(partsFix(f.narrow, fullHarms),
			"partitions of watched table %s have a replica identity that does not say which products an old row "+
				"concerned: until they have another, ingestion reads the whole catalog again after each change of the "+
				"table", t.Name)
	case !f.isPartitioned() && (isTooNarrow || f.lacksIdentity()):
		found.Refusef(identityFix(t, f, fullHarms), "watched table %s has no usable replica identity: %s", t.Name, why)
	case len(f.narrow) > 0:
		// The log has a child under its own name, with its own replica identity. So the decoder sees which rows are
		// uncertain, and those of the table itself are not.
		found.Warnf(partsFix(f.narrow, fullHarms),
			"tables that inherit from watched table %s have a replica identity that does not say which products an old "+
				"row concerned: until they have another, ingestion reads the whole catalog again after each UPDATE and "+
				"DELETE of them", t.Name)
	}
}

func (f tableFacts) isPartitioned() bool { return f.kind == "p" }

// isFull reports whether the log has all columns of an old row.
func (f tableFacts) isFull() bool { return f.identity == "f" }

// lacksIdentity reports whether the table has no replica identity, so that Postgres refuses its UPDATE and DELETE once
// it is published.
func (f tableFacts) lacksIdentity() bool {
	return f.identity == "n" || !f.isFull() && len(f.identityColumns) == 0
}

func (f tableFacts) hasVirtualColumn() bool {
	for _, kind := range f.generated {
		if kind == "v" {
			return true
		}
	}
	return false
}

// identityFix returns the statements that give a table a replica identity with the columns that matter. The
// application's own changes still work with it.
func identityFix(t *Table, f tableFacts, fullHarms bool) string {
	if !fullHarms {
		return fullStatements([]string{t.Name})
	}
	// An index over the key and the columns that matter works as well as FULL.
	columns := slices.Clone(f.key)
	for _, c := range t.Columns {
		if !slices.Contains(columns, c) {
			columns = append(columns, c)
		}
	}
	var b strings.Builder
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = quoted(c)
		if !slices.Contains(f.required, c) {
			fmt.Fprintf(&b, "ALTER TABLE %s ALTER COLUMN %s SET NOT NULL; ", t.Name, names[i])
		}
	}
	index := t.Plain[strings.LastIndexByte(t.Plain, '.')+1:] + "_driftless"
	fmt.Fprintf(&b, "CREATE UNIQUE INDEX %s ON %s (%s); ALTER TABLE %s REPLICA IDENTITY USING INDEX %s;",
		quoted(index), t.Name, strings.Join(names, ", "), t.Name, quoted(index))
	return b.String()
}

// partsFix returns the statements that give parts a replica identity of all columns. There are none if that would make
// the application's changes fail.
func partsFix(parts []string, fullHarms bool) string {
	if fullHarms {
		return ""
	}
	return fullStatements(parts)
}

// fullStatements returns the statements that give tables a replica identity of all columns.
func fullStatements(tables []string) string { return identityStatements(tables, "FULL") }

func identityStatements(tables []string, identity string) string {
	statements := make([]string, len(tables))
	for i, t := range tables {
		statements[i] = "ALTER TABLE " + t + " REPLICA IDENTITY " + identity + ";"
	}
	return strings.Join(statements, " ")
}

func quoted(name string) string { return pgx.Identifier{name}.Sanitize() }

// RemoveHarmful removes tables from the publication if the application's changes fail because they are published. If
// the role may not, the error has the statement to run.
func (s *Source) RemoveHarmful(ctx context.Context, pool *pgxpool.Pool) error {
	version, err := serverVersion(ctx, pool)
	if err != nil {
		return err
	}
	p, err := s.publication(ctx, pool, version)
	if err != nil || !p.exists || p.allTables {
		return err
	}
	for _, t := range s.Tables {
		published := slices.ContainsFunc(p.tables, func(x publishedTable) bool { return x.OID == t.OID })
		if !t.harmful || !published {
			continue
		}
		statement := "ALTER PUBLICATION " + quoted(s.Publication) + " DROP TABLE " + t.Name + ";"
		if _, err := pool.Exec(ctx, statement); err != nil {
			return fmt.Errorf(
				"changes of %s by the application fail until it is removed from publication %s: run `%s`: %w",
				t.Name, s.Publication, statement, err)
		}
	}
	return nil
}
