package reconciliation

import (
	"context"
)

// backfillJSON adds the JSON of the ledger's views to rows that an older program stored.
func (r *reconciler) backfillJSON(ctx context.Context) error {
	for after := ""; ; {
		last, err := r.ledger.BackfillJSON(ctx, after)
		if err != nil {
			if ctx.Err() == nil {
				r.Logger.WarnContext(
					ctx, "could not complete the ledger's views; some products are missing until the next start",
					"error", err)
			}
			return nil
		}
		if after = last; after == "" {
			return nil
		}
	}
}
