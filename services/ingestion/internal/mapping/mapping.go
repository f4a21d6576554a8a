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

	"github.com/driftless-sync/driftless/services/config"
)

// Mapping is a checked mapping, ready to read with. Safe for concurrent use.
type Mapping struct {
	pool *pgxpool.Pool
	// states reads products and prices by product id, in one statement and therefore one snapshot.
	states string
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
	out := &Mapping{pool: pool}
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
	out.states = fmt.Sprintf(`SELECT 0, pg_current_snapshot()::text
UNION ALL SELECT 1, row_to_json(m)::text FROM (%s
) m WHERE m.id = ANY($1::text[]::%s[])
UNION ALL SELECT 2, row_to_json(m)::text FROM (%s
) m WHERE m.product = ANY($1::text[]::%s[])`,
		trim(m.Products), products.types["id"], trim(m.Prices), prices.types["product"])
	out.ids = fmt.Sprintf(`SELECT m.id::text FROM (%s
) m WHERE $1::text IS NULL OR m.id > $1::text::%s ORDER BY m.id LIMIT $2`,
		trim(m.Products), products.types["id"])
	return out, nil
}

// Fingerprint changes with the queries, and with the types of their ids.
func (m *Mapping) Fingerprint() string {
	sum := sha256.Sum256([]byte(m.states + "\x00" + m.ids))
	return hex.EncodeToString(sum[:16])
}

// Unmanaged are the fields that the queries do not return, as ProductChange names them.
func (m *Mapping) Unmanaged() []string { return m.unmanaged }

func trim(query string) string {
	return strings.TrimRight(strings.TrimSpace(query), "; \n\t")
}

// description is what a query returns.
type description struct{ types map[string]string }

func (d description) has(column string) bool { _, ok := d.types[column]; return ok }

func describe(ctx context.Context, pool *pgxpool.Pool, name, query string, known map[string]kind, required ...string) (description, error) {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return description{}, fmt.Errorf("connect to the catalog database: %w", err)
	}
	defer conn.Release()
	// A line break, so that a comment at the query's end does not swallow the parenthesis.
	//nolint:unqueryvet // which columns there are is the question
	statement, err := conn.Conn().PgConn().Prepare(ctx, "", "SELECT * FROM ("+trim(query)+"\n) m", nil)
	if err != nil {
		if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
			return description{}, fmt.Errorf("the mapping's %s query is refused by Postgres: %s%s", name, pg.Message, hint(pg))
		}
		return description{}, fmt.Errorf("the mapping's %s query: %w", name, err)
	}
	d := description{map[string]string{}}
	for _, f := range statement.Fields {
		k, ok := known[f.Name]
		if !ok {
			return d, fmt.Errorf("the mapping's %s query returns column %q, which is none of Stripe's fields%s; rename it with AS, or leave it out",
				name, f.Name, nearest(f.Name, known))
		}
		typeName, err := formatType(ctx, conn.Conn(), f.DataTypeOID)
		if err != nil {
			return d, err
		}
		if !k.takes(f.DataTypeOID) {
			return d, fmt.Errorf("the mapping's %s query returns column %q as %s, and it must be %s: cast it in the query",
				name, f.Name, typeName, k.name)
		}
		if d.has(f.Name) {
			return d, fmt.Errorf("the mapping's %s query returns column %q twice", name, f.Name)
		}
		d.types[f.Name] = typeName
	}
	for _, column := range required {
		if !d.has(column) {
			return d, fmt.Errorf("the mapping's %s query misses column %q: select it, of type %s", name, column, known[column].name)
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

// nearest suggests the known column that a misspelt one was probably meant to be.
func nearest(name string, known map[string]kind) string {
	best, distance := "", 4
	for _, k := range slices.Sorted(maps.Keys(known)) {
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
