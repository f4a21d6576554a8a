package reconciliation

import (
	"context"
	"time"
)

// backfillJSON adds the JSON of the ledger's views to rows that an older program stored.
func (r *reconciler) fillReadable(ctx context.Context) error {
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

// pruneInterval is the time between two searches for expired entries.
const pruneEvery = 10 * time.Minute

// prune deletes what is older than the retention, in small batches, until ctx ends.
func (r *reconciler) prune(ctx context.Context) error {
	if r.HistoryRetention <= 0 {
		return nil
	}
	ticker := time.NewTicker(pruneEvery)
	defer ticker.Stop()
	for {
		for {
			n, err := r.ledger.Prune(ctx, r.HistoryRetention)
			if err != nil && ctx.Err() == nil {
				r.Logger.WarnContext(ctx, "could not delete old entries of the ledger; retrying", "error", err)
			}
			if n == 0 || err != nil {
				break
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}
