// Package mapping reads products from the catalog database with the operator's two queries: it checks at start that
// they return Stripe's fields in usable types, and then turns their rows into contracts. It knows nothing of the
// write-ahead log, and writes nothing.
package mapping

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/config"
)

// Mapping is a checked mapping, ready to read with. Safe for concurrent use.
type Mapping struct {
	pool     *pgxpool.Pool
	products query[catalogv1.Product]
	prices   query[priceRow]
	// ids lists product ids in order, after a given one.
	ids       string
	unmanaged []string
}

// New checks the queries against the database. Its errors name the query, the column and what mends it.
func New(ctx context.Context, pool *pgxpool.Pool, m *config.Mapping) (*Mapping, error) {
	products, err := describe(ctx, pool, "products", m.Products, productColumns, "id", "name")
	if err != nil {
		return nil, err
	}
	prices, err := describe(ctx, pool, "prices", m.Prices, priceColumns, "id", "product", "currency")
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc([]string{"unit_amount", "unit_amount_decimal", "tiers", "custom_unit_amount"}, prices.has) {
		return nil, errors.New("the mapping's prices query returns no amount: add a column unit_amount (or unit_amount_decimal, tiers or custom_unit_amount)")
	}
	out := &Mapping{pool: pool, products: products.by("id"), prices: prices.by("product")}
	for _, c := range slices.Sorted(maps.Keys(productColumns)) {
		if !products.has(c) && !slices.Contains(alwaysManaged, c) {
			out.unmanaged = append(out.unmanaged, c)
		}
	}
	for _, c := range slices.Sorted(maps.Keys(priceColumns)) {
		// Stripe's two amount fields are one: a mapping gives whichever it has.
		if !prices.has(c) && !slices.Contains(alwaysManaged, c) && c != "unit_amount" && c != "unit_amount_decimal" {
			out.unmanaged = append(out.unmanaged, "prices."+c)
		}
	}
	out.ids = fmt.Sprintf(`SELECT m.id::text FROM (%s
) m WHERE $1::text IS NULL OR m.id > $1::text::%s ORDER BY m.id LIMIT $2`,
		trim(m.Products), products.types["id"])
	return out, nil
}

// Fingerprint changes with the queries and what they return.
func (m *Mapping) Fingerprint() string {
	sum := sha256.Sum256([]byte(m.products.read + "\x00" + m.prices.read))
	return hex.EncodeToString(sum[:16])
}

// Unmanaged are the fields that the queries do not return, as ProductChange names them.
func (m *Mapping) Unmanaged() []string { return m.unmanaged }

func trim(query string) string {
	return strings.TrimRight(strings.TrimSpace(query), "; \n\t")
}

// query reads rows by the ids of their products.
type query[R any] struct {
	read    string
	columns []named[R]
}

type named[R any] struct {
	column[R]
	name string
}

// description is what an operator's query returns.
type description[R any] struct {
	query   string
	types   map[string]string
	columns []named[R]
}

func (d description[R]) has(column string) bool { _, ok := d.types[column]; return ok }

// by makes the query that reads rows by a column, every value as text.
func (d description[R]) by(id string) query[R] {
	values := make([]string, len(d.columns))
	for i, c := range d.columns {
		values[i] = "m." + c.name + "::text"
		if c.kind.name == list.name {
			values[i] = "to_json(m." + c.name + ")::text"
		}
	}
	return query[R]{columns: d.columns, read: fmt.Sprintf("SELECT %s FROM (%s\n) m WHERE m.%s = ANY($1::text[]::%s[])",
		strings.Join(values, ", "), trim(d.query), id, d.types[id])}
}

func describe[R any](ctx context.Context, pool *pgxpool.Pool, name, query string, known map[string]column[R], required ...string) (description[R], error) {
	d := description[R]{query: query, types: map[string]string{}}
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return d, fmt.Errorf("connect to the catalog database: %w", err)
	}
	defer conn.Release()
	// A line break, so that a comment at the query's end does not swallow the parenthesis.
	//nolint:unqueryvet // which columns there are is the question
	statement, err := conn.Conn().PgConn().Prepare(ctx, "", "SELECT * FROM ("+trim(query)+"\n) m", nil)
	if err != nil {
		if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
			return d, fmt.Errorf("the mapping's %s query is refused by Postgres: %s%s", name, pg.Message, hint(pg))
		}
		return d, fmt.Errorf("the mapping's %s query: %w", name, err)
	}
	for _, f := range statement.Fields {
		c, ok := known[f.Name]
		if !ok {
			return d, fmt.Errorf("the mapping's %s query returns column %q, which is none of Stripe's fields%s; rename it with AS, or leave it out",
				name, f.Name, Nearest(f.Name, slices.Sorted(maps.Keys(known))))
		}
		typeName, err := formatType(ctx, conn.Conn(), f.DataTypeOID)
		if err != nil {
			return d, err
		}
		if !c.takes(f.DataTypeOID) {
			return d, fmt.Errorf("the mapping's %s query returns column %q as %s, and it must be %s: cast it in the query",
				name, f.Name, typeName, c.kind.name)
		}
		if d.has(f.Name) {
			return d, fmt.Errorf("the mapping's %s query returns column %q twice", name, f.Name)
		}
		d.types[f.Name] = typeName
		d.columns = append(d.columns, named[R]{c, f.Name})
	}
	for _, column := range required {
		if !d.has(column) {
			return d, fmt.Errorf("the mapping's %s query misses column %q: select it, of type %s", name, column, known[column].kind.name)
		}
	}
	return d, nil
}

func formatType(ctx context.Context, conn *pgx.Conn, oid uint32) (string, error) {
	var name string
	if err := conn.QueryRow(ctx, "SELECT format_type($1, NULL)", oid).Scan(&name); err != nil {
		return "", fmt.Errorf("read the name of type %d: %w", oid, err)
	}
	return name, nil
}

func hint(e *pgconn.PgError) string {
	if e.Code == "42501" {
		return "; GRANT SELECT on it, and USAGE on its schema, to the role of DATABASE_URL"
	}
	if e.Hint != "" {
		return " (" + e.Hint + ")"
	}
	return ""
}

// Nearest suggests the known column that a misspelt one was probably meant to be.
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
	return fmt.Sprintf(" (%q is)", best)
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
