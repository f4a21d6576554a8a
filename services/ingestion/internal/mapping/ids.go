package mapping

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
)

// idType is the type of a column with product ids. Ids are compared as values of this type, not as text: 7 and 007 are
// one integer, and char(8) ignores trailing spaces.
type idType struct {
	oid uint32
	// sql is the type's name, for casts.
	sql string
	// collate is a COLLATE clause, empty for types without a collation.
	collate string
	// byText reports whether values are equal only if their texts are.
	byText bool
}

var (
	canonicalInteger = regexp.MustCompile(`^(0|-?[1-9][0-9]*)$`)
	canonicalUUID    = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
)

// canonical reports whether a text is certainly Postgres' only way to write a value of the type.
func (t idType) canonical(id string) bool {
	switch {
	case t.byText:
		return true
	case slices.Contains(intOIDs, t.oid):
		return canonicalInteger.MatchString(id)
	case t.oid == pgtype.UUIDOID:
		return canonicalUUID.MatchString(id)
	}
	return false
}

// A text of another form is certainly not a value of the type. A text of this form may be one: Postgres accepts 1_000
// and 0x1F since 16.
var (
	maybeInteger = regexp.MustCompile(`^[\s\v]*[+-]?[0-9A-Fa-fXxOo_]+[\s\v]*$`)
	maybeUUID    = regexp.MustCompile(`^[{]?[0-9A-Fa-f-]{32,}[}]?$`)
)

// cannotHold reports whether a text is certainly not a value of the type. It saves queries for tables with thousands of
// rows that do not name products.
func (t idType) cannotHold(id string) bool {
	switch {
	case slices.Contains(intOIDs, t.oid):
		return !maybeInteger.MatchString(id)
	case t.oid == pgtype.UUIDOID:
		return !maybeUUID.MatchString(id)
	}
	return strings.IndexByte(id, 0) >= 0
}

// array returns the expression that converts parameter n, a text[], to an array of the type.
func (t idType) array(n int) string { return fmt.Sprintf("$%d::text[]::%s[]", n, t.sql) }

// columnType reads from the database how a column of a query is compared.
func columnType(ctx context.Context, conn *pgx.Conn, query, column, sql string, oid uint32) (idType, error) {
	t := idType{oid: oid, sql: sql}
	var collatable bool
	err := conn.QueryRow(ctx, "SELECT typcollation <> 0 FROM pg_type WHERE oid = $1", oid).Scan(&collatable)
	if err != nil {
		return t, fmt.Errorf("read type %s: %w", sql, err)
	}
	if !collatable {
		return t, nil
	}
	// No row is read, because the collation is a property of the expression.
	var collation *string
	of := fmt.Sprintf("SELECT pg_collation_for((SELECT m.%s FROM (%s\n) m LIMIT 0))", column, trimQuery(query))
	if err := conn.QueryRow(ctx, of).Scan(&collation); err != nil {
		return t, fmt.Errorf("read the collation of column %s: %w", column, err)
	}
	deterministic := true
	if collation != nil {
		t.collate = " COLLATE " + *collation
		of := "SELECT collisdeterministic FROM pg_collation WHERE oid = $1::text::regcollation"
		err := conn.QueryRow(ctx, of, *collation).Scan(&deterministic)
		if err != nil {
			return t, fmt.Errorf("read collation %s: %w", *collation, err)
		}
	}
	t.byText = deterministic && (oid == pgtype.TextOID || oid == pgtype.VarcharOID)
	return t, nil
}

// pair is two texts of the same value.
type pair struct{ a, b string }

// canonicalTexts returns the canonical spelling of each value, in their order. All must be values of the type.
func (t idType) canonicalTexts(ctx context.Context, db querier, ids []string) ([]string, error) {
	sql := fmt.Sprintf("SELECT u.id::text FROM unnest(%s) WITH ORDINALITY u(id, n) ORDER BY u.n", t.array(1))
	rows, err := db.Query(ctx, sql, ids)
	if err != nil {
		return nil, fmt.Errorf("compare product ids: %w", err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("compare product ids: %w", err)
	}
	return out, nil
}

// matches returns the pairs of texts of a and b that are the same value. All must be values of the type.
func (t idType) matches(ctx context.Context, db querier, a, b []string) ([]pair, error) {
	if len(a) == 0 || len(b) == 0 {
		return nil, nil
	}
	sql := fmt.Sprintf(
		`SELECT a.n, b.n FROM unnest(%s) WITH ORDINALITY a(id, n) JOIN unnest(%s) WITH ORDINALITY b(id, n)
		ON a.id = b.id%s ORDER BY a.n, b.n`, t.array(1), t.array(2), t.collate)
	rows, err := db.Query(ctx, sql, a, b)
	if err != nil {
		return nil, fmt.Errorf("compare product ids: %w", err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (pair, error) {
		var i, j int
		err := row.Scan(&i, &j)
		if err != nil {
			return pair{}, err
		}
		return pair{a[i-1], b[j-1]}, nil
	})
	if err != nil {
		return nil, fmt.Errorf("compare product ids: %w", err)
	}
	return out, nil
}

// partition separates the texts that the type can hold from the others. Halving finds a few of those among many with
// few queries.
func (t idType) partition(ctx context.Context, db querier, ids []string) (values, others []string, err error) {
	for _, id := range ids {
		if t.cannotHold(id) {
			others = append(others, id)
		}
	}
	if len(others) > 0 {
		ids = slices.DeleteFunc(slices.Clone(ids), t.cannotHold)
	}
	values, asked, err := t.halve(ctx, db, ids)
	return values, append(others, asked...), err
}

func (t idType) halve(ctx context.Context, db querier, ids []string) (values, others []string, err error) {
	if len(ids) == 0 {
		return nil, nil, nil
	}
	_, err = t.canonicalTexts(ctx, db, ids)
	switch {
	case err == nil:
		return ids, nil, nil
	case !isRowError(err):
		return nil, nil, err
	case len(ids) == 1:
		return nil, ids, nil
	}
	for half := range slices.Chunk(ids, (len(ids)+1)/2) {
		v, o, err := t.halve(ctx, db, half)
		if err != nil {
			return nil, nil, err
		}
		values, others = append(values, v...), append(others, o...)
	}
	return values, others, nil
}

// equals reports whether both types have the same values and the same equality.
func (t idType) equals(other idType) bool { return t.oid == other.oid && t.collate == other.collate }

// ErrChanged means that the queries no longer return what New found. A new mapping, made by New, can read.
var ErrChanged = errors.New("the tables of the mapping were altered since its queries were checked")

// unchanged checks that the columns with the product's id still have their types.
func (m *Mapping) unchanged(ctx context.Context, conn *pgxpool.Conn) error {
	for _, q := range []struct {
		name, source, column string
		was                  idType
	}{
		{m.products.name, m.products.source, "id", m.products.id},
		{m.prices.name, m.prices.source, "product", m.prices.id},
	} {
		sql := fmt.Sprintf("SELECT m.%s FROM (%s\n) m", q.column, trimQuery(q.source))
		statement, err := conn.Conn().PgConn().Prepare(ctx, "", sql, nil)
		if err != nil {
			return newQueryError(q.name, err)
		}
		if oid := statement.Fields[0].DataTypeOID; oid != q.was.oid {
			return fmt.Errorf("the mapping's %s query: column %s is no longer of type %s: %w",
				q.name, q.column, q.was.sql, ErrChanged)
		}
	}
	return nil
}

type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

var _ querier = (*pgxpool.Pool)(nil)

// spellings returns the ids that are products', as the products query spells them. It selects only the id, so that
// other columns cannot fail. If the query still fails, it returns all ids as Postgres writes values of their type.
func (m *Mapping) spellings(ctx context.Context, conn *pgxpool.Conn, ids []string) ([]string, error) {
	sql := fmt.Sprintf("SELECT DISTINCT m.id::text FROM (%s\n) m WHERE m.id = ANY(%s)",
		trimQuery(m.products.source), m.products.id.array(1))
	rows, err := conn.Query(ctx, sql, ids)
	var out []string
	if err == nil {
		out, err = pgx.CollectRows(rows, pgx.RowTo[string])
	}
	if err != nil && isRowError(err) {
		return m.products.id.canonicalTexts(ctx, conn, ids)
	}
	return out, newQueryError(m.products.name, err)
}

// IDType returns the SQL name of the type of the products query's column id.
func (m *Mapping) IDType() string { return m.products.id.sql }

// IDs returns up to limit product ids in their order, after the given one, or from the first if it is empty. It omits
// rows whose id is NULL. Check counts them.
func (m *Mapping) IDs(ctx context.Context, after string, limit int) ([]string, error) {
	sql, args := m.firstIDs, []any{limit}
	if after != "" {
		sql, args = m.moreIDs, []any{limit, after}
	}
	rows, err := m.pool.Query(ctx, sql, args...)
	var ids []string
	if err == nil {
		ids, err = pgx.CollectRows(rows, pgx.RowTo[string])
	}
	switch {
	case err == nil:
	case isRowError(err):
		// Postgres does not compute columns that are not selected, except with functions that may have side effects.
		return nil, fmt.Errorf("list product ids: %w; one row that fails in its id, in a condition or in a VOLATILE "+
			"function keeps all from being listed: repair the row, or declare the functions that the query calls STABLE",
			newQueryError("products", err))
	default:
		return nil, fmt.Errorf("list product ids: %w", newQueryError("products", err))
	}
	// An id that the query returns twice is listed once. Reading the product reports it.
	return slices.Compact(ids), nil
}

// listQueries returns the queries of IDs. There are two, so that the second can use an index whatever plan is chosen.
func listQueries(query string, t idType) (first, more string) {
	list := func(condition string) string {
		return fmt.Sprintf("SELECT m.id::text FROM (%s\n) m WHERE m.id %s ORDER BY m.id LIMIT $1", trimQuery(query),
			condition)
	}
	return list("IS NOT NULL"), list("> $2::text::" + t.sql)
}

func trimQuery(query string) string { return strings.TrimRight(strings.TrimSpace(query), "; \n\t") }
