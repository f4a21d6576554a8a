package reconciliation

import (
	"context"
	"time"
)

// backfillInterval is the time between two searches for rows that an older program stored. During an upgrade it may
// still run after this one has searched.
const backfillInterval = time.Hour

// backfill adds what the ledger's views and searches need to rows that an older program stored, until ctx ends.
func (r *reconciler) backfill(ctx context.Context) error {
	for {
		r.backfillPages(ctx, "views", r.ledger.BackfillJSON)
		r.backfillPages(ctx, "ids", r.ledger.BackfillIdentifiers)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(backfillInterval):
		}
	}
}

// backfillPages calls a function that works on one page after another. It logs a failure, with what is completed.
func (r *reconciler) backfillPages(ctx context.Context, what string,
	page func(ctx context.Context, after string) (last string, err error),
) {
	for after := ""; ; {
		last, err := page(ctx, after)
		if err != nil {
			if ctx.Err() == nil {
				r.Logger.WarnContext(ctx, "could not complete rows of an older program; some products are missing for an hour",
					"in", what, "error", err)
			}
			return
		}
		if after = last; after == "" {
			return
		}
	}
}
