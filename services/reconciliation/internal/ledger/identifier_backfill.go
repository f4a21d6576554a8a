package ledger

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// BackfillIdentifiers stores the ids of one batch of products with ids after the given one, if an older program stored
// their states without. A row that is locked changes now, which stores its ids. It returns the last id of the batch, ""
// if there are no more.
func (l *Ledger) BackfillIdentifiers(ctx context.Context, after string) (last string, err error) {
	err = pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, selectProducts+` WHERE account = $1 AND product_id > $2
			AND (identified_desired <> desired_sequence OR identified_observed <> observed_revision)
			ORDER BY product_id LIMIT $3 FOR UPDATE SKIP LOCKED`, l.account, after, productPageSize)
		if err != nil {
			return fmt.Errorf("find products without ids: %w", err)
		}
		products, err := pgx.CollectRows(rows, scanProduct)
		if err != nil {
			return fmt.Errorf("find products without ids: %w", err)
		}
		batch := &pgx.Batch{}
		for _, p := range products {
			l.queueIdentifiers(batch, p)
			batch.Queue(`UPDATE driftless_ledger.product SET identified_desired = desired_sequence,
				identified_observed = observed_revision WHERE account = $1 AND product_id = $2`, l.account, p.ID)
			last = p.ID
		}
		if err := tx.SendBatch(ctx, batch).Close(); err != nil {
			return fmt.Errorf("store the ids of products up to %s: %w", last, err)
		}
		return nil
	})
	return last, err
}
