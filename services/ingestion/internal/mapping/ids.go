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
	// name is the type's name in SQL, for casts.
	name string
	// collate is a COLLATE clause, empty for types without a collation.
	collate string
	// isTextual reports whether two values are equal only if their texts are.
	isTextual bool
}

var (
	canonicalInteger = regexp.MustCompile(`^(0|-?[1-9][0-9]*)$`)
	canonicalUUID    = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
)

// isCanonical reports whether a text certainly is what Postgres writes for a value of the type.
func (t idType) isCanonical(id string) bool {
	switch {
	case t.isTextual:
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

// cannotHold reports whether a text certainly is not a value of the type. It saves queries for watched tables with
// thousands of rows that do not name products.
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
func (t idType) array(n int) string { return fmt.Sprintf("$%d::text[]::%s[]", n, t.name) }

// readIDType reads from the database how the values of a column of a query are compared.
func readIDType(ctx context.Context, conn *pgx.Conn, query, column, name string, oid uint32) (idType, error) {
	t := idType{oid: oid, name: name}
	var collatable bool
	err := conn.QueryRow(ctx, "SELECT typcollation <> 0 FROM pg_type WHERE oid = $1", oid).Scan(&collatable)
	if err != nil {
		return t, fmt.Errorf("read type %s: %w", name, err)
	}
	if !collatable {
		return t, nil
	}
	// No row is read, because the collation is a property of the expression.
	var collation *string
	sql := fmt.Sprintf("SELECT pg_collation_for((SELECT m.%s FROM (%s\n) m LIMIT 0))", column, trimQuery(query))
	if err := conn.QueryRow(ctx, sql).Scan(&collation); err != nil {
		return t, fmt.Errorf("read the collation of column %s: %w", column, err)
	}
	deterministic := true
	if collation != nil {
		t.collate = " COLLATE " + *collation
		sql := "SELECT collisdeterministic FROM pg_collation WHERE oid = $1::text::regcollation"
		err := conn.QueryRow(ctx, sql, *collation).Scan(&deterministic)
		if err != nil {
			return t, fmt.Errorf("read collation %s: %w", *collation, err)
		}
	}
	t.isTextual = deterministic && (oid == pgtype.TextOID || oid == pgtype.VarcharOID)
	return t, nil
}

// canonicalTexts returns each id as Postgres writes it, in the same order. All must be values of the type.
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

// pair has two texts of the same value.
type pair struct{ a, b string }

// matches returns the pairs of a text of a and a text of b that are the same value. All must be values of the type.
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
		if err := row.Scan(&i, &j); err != nil {
			return pair{}, err
		}
		return pair{a[i-1], b[j-1]}, nil
	})
	if err != nil {
		return nil, fmt.Errorf("compare product ids: %w", err)
	}
	return out, nil
}

// partition separates the texts that are values of the type from the others. Postgres says of a list only whether it
// has others, so the list is halved until they are found. A few among many take few queries.
func (t idType) partition(ctx context.Context, db querier, ids []string) (values, others []string, err error) {
	for _, id := range ids {
		if t.cannotHold(id) {
			others = append(others, id)
		}
	}
	if len(others) > 0 {
		ids = slices.DeleteFunc(slices.Clone(ids), t.cannotHold)
	}
	values, refused, err := t.halve(ctx, db, ids)
	return values, append(others, refused...), err
}

// halve is partition for texts that only Postgres can classify.
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

// ErrChanged means that the columns of the queries have other types than New found. Make a new mapping with New.
var ErrChanged = errors.New("the tables of the mapping were altered since its queries were checked")

// checkUnchanged returns ErrChanged if a column with the product's id has another type than New found.
func (m *Mapping) checkUnchanged(ctx context.Context, conn connection) error {
	for _, q := range []struct {
		name, source, column string
		was                  idType
	}{
		{m.products.name, m.products.source, "id", m.products.id},
		{m.prices.name, m.prices.source, "product", m.prices.id},
	} {
		sql := fmt.Sprintf("SELECT m.%s FROM (%s\n) m", q.column, trimQuery(q.source))
		statement, err := conn.prepare(ctx, sql)
		if err != nil {
			return newQueryError(q.name, err)
		}
		if oid := statement.Fields[0].DataTypeOID; oid != q.was.oid {
			return fmt.Errorf("the mapping's %s query: column %s is no longer of type %s: %w",
				q.name, q.column, q.was.name, ErrChanged)
		}
	}
	return nil
}

type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

var _ querier = (*pgxpool.Pool)(nil)

// spellings returns those of the ids that the products query returns, as the query spells them. It selects only the id,
// so that other columns cannot fail. If the query still fails because of a row, it returns all ids as Postgres writes
// them.
func (m *Mapping) spellings(ctx context.Context, conn querier, ids []string) ([]string, error) {
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

// IDType returns the type of column id of the products query, as SQL names it.
func (m *Mapping) IDType() string { return m.products.id.name }

// IDs returns at most limit product ids that come after the given id, in the order of their type. An empty after starts
// with the first. Rows whose id is NULL are omitted; Check counts them.
func (m *Mapping) IDs(ctx context.Context, after string, limit int) ([]string, error) {
	return m.list(ctx, m.pool, after, limit)
}

func (m *Mapping) list(ctx context.Context, db querier, after string, limit int) ([]string, error) {
	sql, args := m.firstIDs, []any{limit}
	if after != "" {
		sql, args = m.moreIDs, []any{limit, after}
	}
	rows, err := db.Query(ctx, sql, args...)
	var ids []string
	if err == nil {
		ids, err = pgx.CollectRows(rows, pgx.RowTo[string])
	}
	switch {
	case err == nil:
	case isRowError(err):
		// Postgres does not compute columns that are not selected, except with functions that may have side effects.
		return nil, fmt.Errorf("list product ids: %w; one row that fails in its id, in a condition or in a VOLATILE "+
			"function keeps all from being listed: repair the row, or declare the functions that the query calls "+
			"STABLE",
			newQueryError("products", err))
	default:
		return nil, fmt.Errorf("list product ids: %w", newQueryError("products", err))
	}
	// An id that the query returns twice is listed once. The read of the product reports the fault.
	return slices.Compact(ids), nil
}

// listQueries returns the queries of IDs, for the first page and for the pages after an id. One query for both would
// need a condition with OR, for which Postgres may not use an index.
func listQueries(query string, t idType) (first, more string) {
	list := func(condition string) string {
		return fmt.Sprintf("SELECT m.id::text FROM (%s\n) m WHERE m.id %s ORDER BY m.id LIMIT $1", trimQuery(query),
			condition)
	}
	return list("IS NOT NULL"), list("> $2::text::" + t.name)
}

func trimQuery(query string) string { return strings.TrimRight(strings.TrimSpace(query), "; \n\t") }
