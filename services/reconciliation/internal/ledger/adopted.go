package ledger

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// AdoptedProduct is a product of the catalog that stands for a product in Stripe with another id.
type AdoptedProduct struct{ StripeID, Product string }

// Adopted returns the adopted products that Stripe has, as far as the ledger knows. It reads all ids that people know
// products by, so callers do not repeat it often.
func (l *Ledger) Adopted(ctx context.Context) ([]AdoptedProduct, error) {
	rows, err := l.pool.Query(ctx, `SELECT i.id, i.product_id FROM driftless_ledger.identifier i
		JOIN driftless_ledger.product p USING (account, product_id)
		WHERE i.account = $1 AND i.kind = $2 AND i.id <> i.product_id
			AND p.observed_json ->> 'stripe_id' = i.id AND p.observed_json -> 'product' IS NOT NULL`,
		l.account, string(StripeProductID))
	if err != nil {
		return nil, fmt.Errorf("list the adopted products: %w", err)
	}
	adopted, err := pgx.CollectRows(rows, pgx.RowToStructByPos[AdoptedProduct])
	if err != nil {
		return nil, fmt.Errorf("list the adopted products: %w", err)
	}
	return adopted, nil
}
