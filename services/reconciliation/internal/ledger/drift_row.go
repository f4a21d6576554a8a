package ledger

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

func (l *Ledger) storeDrift(ctx context.Context, tx pgx.Tx, d *Drift) error {
	if _, err := tx.Exec(ctx,
		`UPDATE driftless_ledger.drift SET catalog_value = $2, stripe_value = $3, action = $4, state = $5, decided = $6, detail = $7,
		attempts = $8, settled_at = $9 WHERE id = $1`,
		d.ID, d.Catalog, d.Stripe, string(d.Action), string(d.State), string(d.Decided), d.Detail, d.Attempts,
		nullable(d.SettledAt)); err != nil {
		return fmt.Errorf("store drift of product %s: %w", d.Product, err)
	}
	return nil
}

const selectDrift = `SELECT id, product_id, kind, field, catalog_value, stripe_value, action, since, caused_by, event_id, state, decided, detail, attempts, settled_at, traceparent
	FROM driftless_ledger.drift`

func scanDrift(row pgx.CollectableRow) (*Drift, error) {
	d := &Drift{}
	var settled *time.Time
	if err := row.Scan(&d.ID, &d.Product, &d.Kind, &d.Field, &d.Catalog, &d.Stripe, &d.Action, &d.Since, &d.CausedBy,
		&d.EventID, &d.State, &d.Decided,
		&d.Detail, &d.Attempts, &settled, &d.Traceparent); err != nil {
		return nil, err
	}
	if settled != nil {
		d.SettledAt = *settled
	}
	return d, nil
}

// querier is a pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// loadOpen reads the open drift of products.
func (l *Ledger) loadOpen(ctx context.Context, db querier, products ...*Product) error {
	of := map[string]*Product{}
	for _, p := range products {
		if p.storedOpen > 0 || len(p.open) > 0 {
			of[p.ID], p.open = p, nil
		}
	}
	if len(of) == 0 {
		return nil
	}
	rows, err := db.Query(ctx,
		selectDrift+` WHERE account = $1 AND product_id = ANY($2) AND settled_at IS NULL ORDER BY product_id, id`,
		l.account, slices.Collect(maps.Keys(of)))
	if err != nil {
		return fmt.Errorf("read the drift of products: %w", err)
	}
	open, err := pgx.CollectRows(rows, scanDrift)
	if err != nil {
		return fmt.Errorf("read the drift of products: %w", err)
	}
	for _, d := range open {
		of[d.Product].open = append(of[d.Product].open, d)
	}
	return nil
}
