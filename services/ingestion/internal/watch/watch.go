// Package watch finds the products that a changed row of a watched table concerns: by a column, by an expression over
// the row, or by a query of the operator. It reads the database and writes nothing.
package watch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/driftless-sync/driftless/services/ingestion/internal/finding"
	"github.com/driftless-sync/driftless/services/ingestion/internal/wal"
	"github.com/driftless-sync/driftless/services/internal/config"
)

// Set has the watched tables of the configuration as they are in the database. Safe for concurrent use.
type Set struct {
	// Tables for the reader of the log.
	Tables []wal.Table
	// lookups[table][entry] finds the products of a row. It is empty for an entry with a plain column.
	lookups [][]lookup
}

// lookup finds the products of many rows with one statement. Its parameters are arrays, one for each column.
type lookup struct {
	sql string
	// columns is the number of columns of the row that it uses.
	columns int
	// location is its place in the configuration, for messages.
	location string
}

// table is a watched table while it is compiled.
type table struct {
	wal.Table
	columns []string
	types   map[string]string
	lookups []lookup
	// ancestors has the tables that it is a partition of or inherits from.
	ancestors []uint32
	// filters has the conditions of the entries. The table has a filter only if every entry has it.
	filters []string
}

// Compile finds the tables and prepares their queries. Faults of the configuration are findings, not errors.
func Compile(ctx context.Context, pool *pgxpool.Pool, watched []config.WatchedTable) (*Set, finding.List, error) {
	var found finding.List
	var tables []*table
	for i, w := range watched {
		at := fmt.Sprintf("catalog.watch[%d] (%s)", i, w.Table)
		t, err := findTable(ctx, pool, w.Table)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", at, err)
		}
		if t == nil {
			found.Refusef("",
				"watched table %s does not exist: create it, or correct catalog.watch in the configuration", w.Table)
			continue
		}
		if j := slices.IndexFunc(tables, func(known *table) bool { return known.OID == t.OID }); j >= 0 {
			t = tables[j]
		} else {
			tables = append(tables, t)
		}
		if err := t.add(ctx, pool, w, at, &found); err != nil {
			return nil, nil, err
		}
	}
	s := &Set{}
	for _, t := range tables {
		for _, other := range tables {
			if slices.Contains(t.ancestors, other.OID) {
				found.Refusef("",
					"%s and %s are both under catalog.watch, and the first is a part of the second: the log has each "+
						"row once, so watch only one of them", t.Name, other.Name)
			}
		}
		slices.Sort(t.Columns)
		t.Columns = slices.Compact(t.Columns)
		if !slices.Contains(t.filters, "") && len(t.filters) > 0 {
			slices.Sort(t.filters)
			t.Filter = "(" + strings.Join(slices.Compact(t.filters), ") OR (") + ")"
		}
		s.Tables = append(s.Tables, t.Table)
		s.lookups = append(s.lookups, t.lookups)
	}
	return s, found, nil
}

// findTable finds a table by its name as SQL reads it, or by the exact name without quotes. It returns nil if there is
// none.
func findTable(ctx context.Context, pool *pgxpool.Pool, name string) (*table, error) {
	t := &table{types: map[string]string{}}
	var columns, types []string
	err := pool.QueryRow(ctx, `WITH named AS (SELECT coalesce(to_regclass($1), to_regclass($2))::oid AS oid),
		children AS (SELECT i.inhrelid AS oid FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhparent JOIN named ON named.oid = i.inhparent WHERE p.relkind <> 'p')
		SELECT c.oid, format('%I.%I', n.nspname, c.relname), n.nspname || '.' || c.relname,
		coalesce((WITH RECURSIVE d AS (SELECT oid FROM children UNION SELECT i.inhrelid FROM pg_inherits i JOIN d ON d.oid = i.inhparent) SELECT array_agg(oid) FROM d), '{}')::oid[],
		coalesce((WITH RECURSIVE up AS (SELECT i.inhparent AS oid FROM pg_inherits i WHERE i.inhrelid = c.oid
			UNION SELECT i.inhparent FROM pg_inherits i JOIN up ON i.inhrelid = up.oid) SELECT array_agg(oid) FROM up), '{}')::oid[],
		a.names, a.types
		FROM named JOIN pg_class c ON c.oid = named.oid JOIN pg_namespace n ON n.oid = c.relnamespace
		CROSS JOIN LATERAL (SELECT coalesce(array_agg(attname::text ORDER BY attnum), '{}') AS names, coalesce(array_agg(format_type(atttypid, atttypmod) ORDER BY attnum), '{}') AS types
			FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped) a`, name, unquoted(name)).
		Scan(&t.OID, &t.Name, &t.Plain, &t.Children, &t.ancestors, &columns, &types)
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok &&
		(pg.Code == "42602" || pg.Code == "42601" || pg.Code == "0A000") {
		// The text is not a valid name in SQL.
		return nil, nil
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("inspect the table: %w", err)
	}
	t.columns = columns
	for i, c := range columns {
		t.types[c] = types[i]
	}
	return t, nil
}

// unquoted quotes the parts of a name that is taken as it is, such as Product or shop.Product.
func unquoted(name string) string {
	parts := strings.Split(name, ".")
	for i, p := range parts {
		parts[i] = sanitized(strings.Trim(p, `"`))
	}
	return strings.Join(parts, ".")
}

func sanitized(name string) string { return pgx.Identifier{name}.Sanitize() }

// add adds an entry of the configuration.
func (t *table) add(ctx context.Context, pool *pgxpool.Pool, w config.WatchedTable, at string,
	found *finding.List,
) error {
	where := strings.TrimSpace(w.Where)
	t.filters = append(t.filters, where)
	if w.Products == "" && where == "" {
		if c, ok := column(strings.TrimSpace(w.ProductID), t.columns); ok {
			t.Entries = append(t.Entries, wal.Entry{Product: c})
			t.lookups = append(t.lookups, lookup{})
			t.Columns = append(t.Columns, c)
			return nil
		}
	}
	sql, columns, problem := t.compile(w, where)
	if problem != "" {
		found.Refusef("", "%s: %s", at, problem)
		return nil
	}
	err := prepare(ctx, pool, sql)
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		found.Refusef("", "%s: %s is refused by Postgres: %s%s", at, t.what(w), pg.Message, hint(pg))
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", at, err)
	}
	t.Entries = append(t.Entries, wal.Entry{Columns: columns})
	t.lookups = append(t.lookups, lookup{sql: sql, columns: len(columns), location: at})
	t.Columns = append(t.Columns, columns...)
	return nil
}

func (t *table) what(w config.WatchedTable) string {
	switch {
	case w.Products != "":
		return "the query under products"
	case w.Where != "":
		return "product_id or where"
	default:
		return "product_id"
	}
}

// compile makes the statement that finds the products of many rows. Its parameters are arrays of the columns' values as
// text. It returns row numbers, from 1, with the ids of products as text.
func (t *table) compile(w config.WatchedTable, where string) (sql string, columns []string, problem string) {
	id := ""
	body := ""
	const row = `"@row"`
	if w.Products != "" {
		bound, used, unknown := bind(strings.TrimRight(strings.TrimSpace(w.Products), "; \n\t"), row, t.columns)
		if unknown != "" {
			return "", nil,
				fmt.Sprintf("the query under products uses %s, and table %s has no such column", unknown, t.Name)
		}
		if len(used) == 0 {
			return "", nil,
				"the query under products uses no column of the row: write @column where a value of the row belongs"
		}
		columns, body = used, bound
	} else {
		expression := strings.TrimSpace(w.ProductID)
		if c, ok := column(expression, t.columns); ok {
			id, columns = sanitized(c), []string{c}
		} else {
			id = expression
			if columns = mentionedColumns(expression, t.columns); len(columns) == 0 {
				return "", nil,
					fmt.Sprintf(
						"table %s has no column %s, and it is not an expression over its columns either: correct "+
							"product_id", t.Name, expression)
			}
		}
	}
	for _, c := range mentionedColumns(where, t.columns) {
		if !slices.Contains(columns, c) {
			columns = append(columns, c)
		}
	}
	slices.Sort(columns)
	values, arrays, names := make([]string, len(columns)), make([]string, len(columns)), make([]string, len(columns))
	renamed := make([]string, len(columns))
	for i, c := range columns {
		renamed[i] = sanitized(c) + " AS " + sanitized(parameterColumn+c)
		names[i] = fmt.Sprintf("c%d", i+1)
		arrays[i] = fmt.Sprintf("$%d::text[]", i+1)
		values[i] = fmt.Sprintf("u.c%d::%s AS %s", i+1, t.types[c], sanitized(c))
	}
	alias := t.Plain[strings.IndexByte(t.Plain, '.')+1:]
	rows := fmt.Sprintf("FROM (SELECT u.n AS %s, %s FROM unnest(%s) WITH ORDINALITY AS u(%s, n)) AS %s",
		numberColumn, strings.Join(values, ", "), strings.Join(arrays, ", "), strings.Join(names, ", "),
		sanitized(alias))
	if where != "" {
		// The line break keeps a comment at the end from hiding the parenthesis.
		rows += " WHERE (" + where + "\n)"
	}
	if w.Products != "" {
		rows = "SELECT " + numberColumn + ", " + strings.Join(renamed, ", ") + " " + rows
		return fmt.Sprintf(`SELECT DISTINCT %s.%s, q.id::text FROM (%s) AS %s CROSS JOIN LATERAL (%s`+"\n"+
			`) AS q(id) WHERE q.id IS NOT NULL`,
			row, numberColumn, rows, row, body), columns, ""
	}
	rows = "SELECT " + numberColumn + ", (" + id + "\n)::text AS \"@id\" " + rows
	return `SELECT ` + numberColumn + `, "@id" FROM (` + rows + `) AS r WHERE "@id" IS NOT NULL`, columns, ""
}

// numberColumn is not a valid unquoted name, so it cannot clash with a column of the operator.
const numberColumn = `"@number"`

// prepare has Postgres parse a statement.
func prepare(ctx context.Context, pool *pgxpool.Pool, sql string) error {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("connect to the catalog database: %w", err)
	}
	defer conn.Release()
	if _, err = conn.Conn().PgConn().Prepare(ctx, "", sql, nil); err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	return nil
}

func hint(e *pgconn.PgError) string {
	if e.Hint != "" {
		return " (" + e.Hint + ")"
	}
	return ""
}
