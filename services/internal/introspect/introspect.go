package introspect

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/jackc/pgx/v5"

	"github.com/driftless-sync/driftless/services/internal/proposal"
)

// Options say what to read.
type Options struct {
	// Schemas limits the tables. Defaults to all schemas but those of Postgres and Driftless.
	Schemas []string
	// Progress reports how many tables were sampled, of how many. It may be nil.
	Progress func(done, total int)
}

// Read reads the tables that the role of the connection can read, within a read-only transaction in one snapshot.
func Read(ctx context.Context, conn *pgx.Conn, o Options) (*proposal.Database, error) {
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return nil, fmt.Errorf("read the tables of the database: %w", err)
	}
	defer tx.Rollback(context.WithoutCancel(ctx))
	r := reader{tx: tx, db: &proposal.Database{}, options: o, byOID: map[uint32]*proposal.Table{}}
	for _, step := range []func(context.Context) error{
		r.server, r.tables, r.columns, r.indexes, r.references, r.samples,
	} {
		if err := step(ctx); err != nil {
			return nil, fmt.Errorf("read the tables of the database: %w", err)
		}
	}
	return r.db, nil
}

// reader is one call of Read.
type reader struct {
	tx      pgx.Tx
	db      *proposal.Database
	options Options
	byOID   map[uint32]*proposal.Table
}

func (r *reader) server(ctx context.Context) error {
	return r.tx.QueryRow(ctx, `SELECT current_database(), current_setting('server_version_num')::int,
		current_setting('wal_level'),
		(SELECT coalesce(array_agg(rolname::text ORDER BY rolname), '{}') FROM pg_roles WHERE rolname !~ '^pg_'),
		(SELECT coalesce(array_agg(pubname::text ORDER BY pubname), '{}') FROM pg_publication)`).
		Scan(&r.db.Name, &r.db.Version, &r.db.WALLevel, &r.db.Roles, &r.db.Publications)
}

// isPlain reports whether a name can be written into a file. A control character could end a comment.
func isPlain(name string) bool { return !strings.ContainsFunc(name, unicode.IsControl) }

func (r *reader) tables(ctx context.Context) error {
	// Partitions are left out: the log has their rows as rows of the partitioned table.
	rows, err := r.tx.Query(ctx, `SELECT c.oid, n.nspname, c.relname, pg_table_is_visible(c.oid),
		EXISTS (SELECT FROM pg_class o WHERE o.relname = c.relname AND o.relkind IN ('r', 'p', 'v', 'm', 'f')
			AND o.relnamespace <> c.relnamespace AND o.relnamespace <> 'pg_catalog'::regnamespace),
		c.reltuples::bigint,
		c.relreplident::text, c.relrowsecurity
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence = 'p'
		AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
		AND CASE WHEN $1::text[] = '{}' THEN n.nspname !~ '^pg_'
			AND n.nspname NOT IN ('information_schema', 'driftless', 'driftless_ledger')
			ELSE n.nspname = ANY ($1) END
		AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
		ORDER BY 2, 3`, append([]string{}, r.options.Schemas...))
	if err != nil {
		return err
	}
	var oid uint32
	var t proposal.Table
	_, err = pgx.ForEachRow(rows,
		[]any{&oid, &t.Schema, &t.Name, &t.Visible, &t.Shared, &t.Rows, &t.Identity, &t.RowSecurity}, func() error {
			if isPlain(t.Schema) && isPlain(t.Name) {
				table := t
				r.byOID[oid] = &table
				r.db.Tables = append(r.db.Tables, &table)
			}
			return nil
		})
	return err
}

func (r *reader) oids() []uint32 {
	out := make([]uint32, 0, len(r.byOID))
	for oid := range r.byOID {
		out = append(out, oid)
	}
	slices.Sort(out)
	return out
}

func (r *reader) columns(ctx context.Context) error {
	rows, err := r.tx.Query(ctx, `WITH RECURSIVE based AS (
			SELECT oid, oid AS base, typtype, typbasetype, typtypmod FROM pg_type
			UNION ALL SELECT b.oid, t.oid, t.typtype, t.typbasetype, CASE WHEN t.typtypmod >= 0 THEN t.typtypmod ELSE b.typtypmod END
			FROM based b JOIN pg_type t ON b.typtype = 'd' AND t.oid = b.typbasetype
		)
		SELECT a.attrelid, a.attname, format_type(b.base, NULL),
		CASE WHEN t.typtype = 'd' THEN b.typtypmod ELSE a.atttypmod END,
		CASE WHEN t.typtype = 'd' THEN t.typname::text ELSE '' END,
		coalesce((SELECT array_agg(e.enumlabel::text ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = b.base), '{}'),
		a.attnotnull OR t.typnotnull, a.attgenerated <> '', coalesce(col_description(a.attrelid, a.attnum), '')
		FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
		JOIN based b ON b.oid = a.atttypid AND b.typtype <> 'd'
		WHERE a.attrelid = ANY ($1) AND a.attnum > 0 AND NOT a.attisdropped
		AND has_column_privilege(a.attrelid, a.attnum, 'SELECT')
		ORDER BY a.attrelid, a.attnum`, r.oids())
	if err != nil {
		return err
	}
	var oid uint32
	var c proposal.Column
	var modifier int
	_, err = pgx.ForEachRow(rows,
		[]any{&oid, &c.Name, &c.Type, &modifier, &c.Domain, &c.Labels, &c.NotNull, &c.Generated, &c.Comment},
		func() error {
			if !isPlain(c.Name) {
				return nil
			}
			column := c
			column.Labels = slices.DeleteFunc(slices.Clone(c.Labels), func(l string) bool { return !isPlain(l) })
			column.Scale = scale(modifier)
			t := r.byOID[oid]
			t.Columns = append(t.Columns, &column)
			return nil
		})
	return err
}

// scale returns the decimal places of a numeric type from its modifier, -1 if they are not limited. It has 11 bits
// (https://github.com/postgres/postgres/blob/master/src/backend/utils/adt/numeric.c).
func scale(modifier int) int {
	if modifier < 4 {
		return -1
	}
	return (modifier-4)&0x7ff ^ 1024 - 1024
}

func (r *reader) indexes(ctx context.Context) error {
	rows, err := r.tx.Query(ctx, `SELECT i.indrelid, i.indisprimary, i.indisreplident, (
			SELECT array_agg(a.attname::text ORDER BY k.n)
			FROM unnest(i.indkey[0:i.indnkeyatts-1]) WITH ORDINALITY k(attnum, n)
			JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum)
		FROM pg_index i
		WHERE i.indrelid = ANY ($1) AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
		ORDER BY i.indexrelid`, r.oids())
	if err != nil {
		return err
	}
	var oid uint32
	var isPrimary, isIdentity bool
	var columns []string
	_, err = pgx.ForEachRow(rows, []any{&oid, &isPrimary, &isIdentity, &columns}, func() error {
		t := r.byOID[oid]
		if isPrimary {
			t.Key = slices.Clone(columns)
		} else {
			t.Unique = append(t.Unique, slices.Clone(columns))
		}
		if t.Identity == "d" && isPrimary || t.Identity == "i" && isIdentity {
			t.IdentityColumns = slices.Clone(columns)
		}
		return nil
	})
	return err
}

func (r *reader) references(ctx context.Context) error {
	rows, err := r.tx.Query(ctx, `SELECT c.conrelid, n.nspname, f.relname,
		(SELECT array_agg(a.attname::text ORDER BY k.n) FROM unnest(c.conkey) WITH ORDINALITY k(attnum, n)
			JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.attnum),
		(SELECT array_agg(a.attname::text ORDER BY k.n) FROM unnest(c.confkey) WITH ORDINALITY k(attnum, n)
			JOIN pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.attnum)
		FROM pg_constraint c JOIN pg_class f ON f.oid = c.confrelid JOIN pg_namespace n ON n.oid = f.relnamespace
		WHERE c.contype = 'f' AND c.conrelid = ANY ($1) ORDER BY c.conrelid, c.conname`, r.oids())
	if err != nil {
		return err
	}
	var oid uint32
	var ref proposal.Reference
	_, err = pgx.ForEachRow(rows, []any{&oid, &ref.Schema, &ref.Table, &ref.Columns, &ref.ToColumns}, func() error {
		of := ref
		of.Columns, of.ToColumns = slices.Clone(ref.Columns), slices.Clone(ref.ToColumns)
		r.byOID[oid].References = append(r.byOID[oid].References, of)
		return nil
	})
	return err
}
