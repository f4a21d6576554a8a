package mapping

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// query reads rows by the ids of their products.
type query[R any] struct {
	// name of the query in the configuration: products or prices.
	name string
	// source is the operator's text. read is the query that reads products by their ids.
	source, read string
	columns      []namedColumn[R]
	// id is the type of the column with the product's id.
	id idType
}

type namedColumn[R any] struct {
	column[R]
	name string
}

// queryDescription has the columns that an operator's query returns.
type queryDescription[R any] struct {
	name, query string
	// types has the SQL names of the types, by column.
	types   map[string]string
	columns []namedColumn[R]
	oids    []uint32
}

func (d queryDescription[R]) has(column string) bool { _, ok := d.types[column]; return ok }

// queryBy returns the query that reads rows by the column with the product's id, with every value as text.
func (d queryDescription[R]) queryBy(ctx context.Context, conn *pgx.Conn, id string) (query[R], error) {
	values := make([]string, len(d.columns))
	var oid uint32
	for i, c := range d.columns {
		values[i] = "m." + c.name + "::text"
		if c.kind.name == list.name {
			values[i] = "to_json(m." + c.name + ")::text"
		}
		if d.oids[i] == pgtype.IntervalOID {
			// How Postgres writes an interval depends on a setting.
			values[i] = "extract(epoch FROM m." + c.name + ")::text || 's'"
		}
		if c.name == id {
			oid = d.oids[i]
		}
	}
	t, err := readIDType(ctx, conn, d.query, id, d.types[id], oid)
	if err != nil {
		return query[R]{}, fmt.Errorf("the mapping's %s query: %w", d.name, err)
	}
	return query[R]{
		name: d.name, source: d.query, columns: d.columns, id: t,
		read: fmt.Sprintf("SELECT %s FROM (%s\n) m WHERE m.%s = ANY(%s)",
			strings.Join(values, ", "), trimQuery(d.query), id, t.array(1)),
	}, nil
}

func describe[R any](
	ctx context.Context, conn *pgx.Conn, name, query string, known map[string]column[R], required ...string,
) (queryDescription[R], error) {
	d := queryDescription[R]{name: name, query: query, types: map[string]string{}}
	// The line break keeps a comment at the query's end from hiding the parenthesis.
	//nolint:unqueryvet // which columns there are is the question
	statement, err := conn.PgConn().Prepare(ctx, "", "SELECT * FROM ("+trimQuery(query)+"\n) m", nil)
	if err != nil {
		if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
			return d, fmt.Errorf("the mapping's %s query is refused by Postgres: %s%s", name, pg.Message, whereIsTable(pg)+hint(pg))
		}
		return d, fmt.Errorf("the mapping's %s query: %w", name, err)
	}
	for _, f := range statement.Fields {
		c, ok := known[f.Name]
		if !ok {
			return d, fmt.Errorf("the mapping's %s query returns column %q, which is not a field of Stripe%s; "+
				"rename it with AS, or remove it",
				name, f.Name, Nearest(f.Name, slices.Sorted(maps.Keys(known))))
		}
		typeName, err := formatType(ctx, conn, f.DataTypeOID)
		if err != nil {
			return d, err
		}
		if !c.takes(f.DataTypeOID) {
			return d, fmt.Errorf(
				"the mapping's %s query returns column %q as %s, but it must be %s: cast it in the query",
				name, f.Name, typeName, c.kind.name)
		}
		if d.has(f.Name) {
			return d, fmt.Errorf("the mapping's %s query returns column %q twice", name, f.Name)
		}
		d.types[f.Name] = typeName
		d.columns = append(d.columns, namedColumn[R]{c, f.Name})
		d.oids = append(d.oids, f.DataTypeOID)
	}
	for _, column := range required {
		if !d.has(column) {
			return d, fmt.Errorf("the mapping's %s query does not return column %q: select it, of type %s",
				name, column, known[column].kind.name)
		}
	}
	return d, nil
}

// formatType returns a type's name for casts. Modifier -1 means none. Without it bpchar would be "character", and a
// cast to that keeps one character only.
func formatType(ctx context.Context, conn *pgx.Conn, oid uint32) (string, error) {
	var name string
	if err := conn.QueryRow(ctx, "SELECT format_type($1, -1)", oid).Scan(&name); err != nil {
		return "", fmt.Errorf("read the name of type %d: %w", oid, err)
	}
	return name, nil
}

func whereIsTable(e *pgconn.PgError) string {
	if e.Code != "42P01" {
		return ""
	}
	return "; if the table is in another database, correct DATABASE_URL, and if it is in another schema, name that in " +
		"the query"
}

func hint(e *pgconn.PgError) string {
	if e.Code == "42501" && strings.Contains(e.Message, "row-level security") {
		return ", so hidden products would count as deleted; let the role of DATABASE_URL bypass it (ALTER ROLE ... BYPASSRLS). If a policy shows the role every row, set catalog.row_security: allow"
	}
	if e.Code == "42501" {
		return "; GRANT SELECT on it, and USAGE on its schema, to the role of DATABASE_URL"
	}
	if e.Hint != "" {
		return " (" + e.Hint + ")"
	}
	return ""
}

// Nearest suggests the known column that is most similar to a misspelled one.
func Nearest(name string, known []string) string {
	best, distance := "", 4
	for _, k := range known {
		if d := levenshtein(name, k); d < distance {
			best, distance = k, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %q?)", best)
}

func levenshtein(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
