package ledger

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"
)

// Counts returns the number of products in each state. Products that left the catalog are counted apart.
func (l *Ledger) Counts(ctx context.Context) (map[State]uint64, error) {
	rows, err := l.pool.Query(ctx,
		// The rows of product are wide: to read those of 200,000 products takes hundreds of milliseconds. Only notable
		// products have a state to group by, and to count one kind of the others is twice as fast as to group them.
		// Empty groups are left out last: a condition on n would make Postgres count twice.
		`WITH n AS (
			SELECT kind, state, count(*) AS n FROM driftless_ledger.listed_product
			WHERE account = $1 AND is_notable GROUP BY kind, state
			UNION ALL SELECT k, `+sqlList(InSync)+`, (SELECT count(*) FROM driftless_ledger.listed_product
				WHERE account = $1 AND NOT is_notable AND kind = k) FROM unnest($2::text[]) k
		)
		SELECT CASE WHEN kind = 'left' AND state IN (`+sqlList(InSync, Extra)+`) THEN `+sqlList(Left)+` ELSE state END,
			sum(n)::bigint FROM n GROUP BY 1 HAVING sum(n) > 0`, l.account, Kinds)
	if err != nil {
		return nil, fmt.Errorf("count products: %w", err)
	}
	out := map[State]uint64{}
	var state string
	var n int64
	if _, err := pgx.ForEachRow(rows, []any{&state, &n},
		func() error { out[State(state)] = uint64(n); return nil }); err != nil {
		return nil, fmt.Errorf("count products: %w", err)
	}
	return out, nil
}

// differing selects products that differ, including those that are only reported, and dead ones. Ignored differences do
// not count.
var differing = `(differs OR state = ` + sqlList(Dead) + ` OR unsettled AND (
	state IN (` + sqlList(Pending, Held, Drifted) + `) OR EXISTS (SELECT FROM driftless_ledger.drift d
		WHERE d.account = p.account AND d.product_id = p.product_id
		AND d.settled_at IS NULL AND d.state <> ` + sqlList(Ignored) + `)))`

// Differing yields the products that differ or are dead, of those named or of all, in the order of their ids. It begins
// after the given id and ends at the limit. It returns whether there are more.
//
// It also returns how many products were compared, regardless of the given id. Without names these are the products
// that the catalog has or that are active in Stripe. A product that ingestion refused is dead and differs in nothing,
// because CATALOG does not have it.
func (l *Ledger) Differing(ctx context.Context, ids []string, after string, limit int,
	yield func(*Product),
) (more bool, compared uint64, err error) {
	if ids == nil {
		ids = []string{}
	}
	// Each part is in the order of an index, so that a page does not read the wide rows of all products that differ.
	part := func(of string) string {
		return `(` + selectProducts + ` p WHERE account = $1 AND ` + of + ` AND ` + differing + `
			AND (cardinality($2::text[]) = 0 OR product_id = ANY($2)) AND product_id > $3 ORDER BY product_id LIMIT $4)`
	}
	rows, err := l.pool.Query(ctx, part(`unsettled`)+` UNION ALL `+part(`NOT unsettled AND state = `+sqlList(Dead))+`
		ORDER BY product_id LIMIT $4`, l.account, ids, after, limit+1)
	if err != nil {
		return false, 0, fmt.Errorf("list products that differ: %w", err)
	}
	products, err := pgx.CollectRows(rows, scanProduct)
	if err != nil {
		return false, 0, fmt.Errorf("list products that differ: %w", err)
	}
	if more = len(products) > limit; more {
		products = products[:limit]
	}
	if err := l.loadOpen(ctx, l.pool, products...); err != nil {
		return false, 0, err
	}
	for _, p := range products {
		l.resolve(p)
		yield(p)
	}
	compared, err = l.countCompared(ctx, ids)
	return more, compared, err
}

// countCompared returns how many products Differing compares. The rows of product are too wide to count all of them.
func (l *Ledger) countCompared(ctx context.Context, ids []string) (uint64, error) {
	const all = `SELECT count(*) FROM driftless_ledger.listed_product WHERE account = $1`
	statement, args := all+` AND product_id = ANY($2)`, []any{l.account, ids}
	if len(ids) == 0 {
		// Both parts read an index only: the second names each of its columns. One condition would read the table.
		statement, args = `SELECT (`+all+`) - (`+all+` AND is_notable IN (true, false) AND kind = 'left'
			AND state IN (`+sqlList(InSync, Extra)+`))`, args[:1]
	}
	var n int64
	if err := l.pool.QueryRow(ctx, statement, args...).Scan(&n); err != nil {
		return 0, fmt.Errorf("count products: %w", err)
	}
	return uint64(n), nil
}

// Products returns the named products that the ledger has, by id.
func (l *Ledger) Products(ctx context.Context, ids []string) (map[string]*Product, error) {
	rows, err := l.pool.Query(ctx, selectProducts+` WHERE account = $1 AND product_id = ANY($2)`, l.account, ids)
	if err != nil {
		return nil, fmt.Errorf("read products: %w", err)
	}
	products, err := pgx.CollectRows(rows, scanProduct)
	if err != nil {
		return nil, fmt.Errorf("read products: %w", err)
	}
	out := make(map[string]*Product, len(products))
	for _, p := range products {
		out[p.ID] = p
	}
	return out, nil
}

// Unknown returns those of the named products that the ledger does not have.
func (l *Ledger) Unknown(ctx context.Context, ids []string) ([]string, error) {
	rows, err := l.pool.Query(ctx, `SELECT DISTINCT id FROM unnest($2::text[]) id
		WHERE NOT EXISTS (SELECT FROM driftless_ledger.product WHERE account = $1 AND product_id = id) ORDER BY id`,
		l.account, ids)
	if err != nil {
		return nil, fmt.Errorf("find unknown products: %w", err)
	}
	unknown, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("find unknown products: %w", err)
	}
	return unknown, nil
}

// OnlyInStripe returns those of the named products that are active in Stripe and that the catalog does not have.
func (l *Ledger) OnlyInStripe(ctx context.Context, ids []string) ([]string, error) {
	rows, err := l.pool.Query(ctx, `SELECT product_id FROM driftless_ledger.listed_product
		WHERE account = $1 AND product_id = ANY($2) AND kind = 'extra' ORDER BY product_id`, l.account, ids)
	if err != nil {
		return nil, fmt.Errorf("find products that only Stripe has: %w", err)
	}
	extra, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("find products that only Stripe has: %w", err)
	}
	return extra, nil
}

// Adoption is the outcome of a command to adopt.
type Adoption struct {
	// EventID, Product, Kind and Detail are those of its entry in the audit trail.
	EventID, Product, Kind, Detail string
}

// Adoptions returns the recorded outcomes with these entry ids.
func (l *Ledger) Adoptions(ctx context.Context, eventIDs []string) ([]Adoption, error) {
	rows, err := l.pool.Query(ctx,
		`SELECT event_id, product_id, kind, detail FROM driftless_ledger.history WHERE account = $1 AND event_id = ANY($2)`, l.account, eventIDs)
	if err != nil {
		return nil, fmt.Errorf("read adoptions: %w", err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Adoption])
	if err != nil {
		return nil, fmt.Errorf("read adoptions: %w", err)
	}
	return out, nil
}

// History returns the latest entries about a product, latest first.
func (l *Ledger) History(ctx context.Context, product string, limit int) ([]Entry, error) {
	rows, err := l.pool.Query(ctx,
		`SELECT event_id, at, kind, version::text, detail, trace_id, data FROM driftless_ledger.history
		WHERE account = $1 AND product_id = $2 ORDER BY at DESC, id DESC LIMIT $3`, l.account, product, limit)
	if err != nil {
		return nil, fmt.Errorf("list the history of product %s: %w", product, err)
	}
	entries, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Entry, error) {
		e := Entry{Product: product}
		var version string
		if err := row.Scan(&e.EventID, &e.At, &e.Kind, &version, &e.Detail, &e.TraceID, &e.Data); err != nil {
			return e, err
		}
		var err error
		e.Version, err = strconv.ParseUint(version, 10, 64)
		return e, err
	})
	if err != nil {
		return nil, fmt.Errorf("list the history of product %s: %w", product, err)
	}
	return entries, nil
}

// Product returns a product with its open drift, nil if the ledger does not have it.
func (l *Ledger) Product(ctx context.Context, id string) (*Product, error) {
	rows, err := l.pool.Query(ctx, selectProducts+` WHERE account = $1 AND product_id = $2`, l.account, id)
	if err != nil {
		return nil, fmt.Errorf("read product %s: %w", id, err)
	}
	p, err := pgx.CollectExactlyOneRow(rows, scanProduct)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read product %s: %w", id, err)
	}
	if err := l.loadOpen(ctx, l.pool, p); err != nil {
		return nil, err
	}
	l.resolve(p)
	return p, nil
}
