package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// A field needs a decision if its settlements are undone Rounds times within RoundsWindow, because two sides keep
// overwriting each other.
const (
	Rounds       = 3
	RoundsWindow = time.Hour
)

// settlement is how earlier drift of a field ended, with the values that differed.
type settlement struct {
	State           DriftState
	Catalog, Stripe string
}

// isUndoneBy reports whether the side that received the other's value has changed since. A side that only changes its
// own value again, as in several edits of one name in the dashboard, undoes nothing.
func (s settlement) isUndoneBy(now catalog.Difference) bool {
	if s.State == WrittenBack {
		return now.Catalog != s.Stripe
	}
	return now.Stripe != s.Catalog
}

// rounds returns how many of a field's settlements, oldest first, were undone by the difference that came next.
func rounds(settled []settlement, now catalog.Difference) (n int) {
	for i, s := range settled {
		next := now
		if i+1 < len(settled) {
			next = catalog.Difference{Catalog: settled[i+1].Catalog, Stripe: settled[i+1].Stripe}
		}
		if s.isUndoneBy(next) {
			n++
		}
	}
	return n
}

// contest returns why an operator has to decide about drift that was just found: its sides keep overwriting each other.
// It returns "" if they do not.
func (l *Ledger) contest(ctx context.Context, tx pgx.Tx, d *Drift) (why string, err error) {
	rows, err := tx.Query(ctx, `SELECT state, catalog_value, stripe_value FROM driftless_ledger.drift
		WHERE account = $1 AND product_id = $2 AND field = $3 AND settled_at > $4 AND counts ORDER BY settled_at, id`,
		l.account, d.Product, d.Field, l.now().Add(-RoundsWindow))
	if err != nil {
		return "", fmt.Errorf("count the rounds of product %s: %w", d.Product, err)
	}
	settled, err := pgx.CollectRows(rows, pgx.RowToStructByPos[settlement])
	if err != nil {
		return "", fmt.Errorf("count the rounds of product %s: %w", d.Product, err)
	}
	n := rounds(settled, d.Difference)
	if n < Rounds || d.isReported() {
		return "", nil
	}
	return fmt.Sprintf("settled and changed back %d times within %s: two sides keep overwriting each other", n,
		RoundsWindow), nil
}

// forgetRounds keeps earlier settlements of a field from being counted.
func (l *Ledger) forgetRounds(ctx context.Context, tx pgx.Tx, d *Drift) error {
	if _, err := tx.Exec(ctx,
		`UPDATE driftless_ledger.drift SET counts = false WHERE account = $1 AND product_id = $2 AND field = $3 AND settled_at IS NOT NULL AND counts`,
		l.account, d.Product, d.Field); err != nil {
		return fmt.Errorf("decide about drift of product %s: %w", d.Product, err)
	}
	return nil
}
