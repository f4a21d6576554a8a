package reconciliation

import (
	"context"
	"time"
)

// fillReadable gives the ledger's views what rows of an older program lack.
func (r *reconciler) fillReadable(ctx context.Context) error {
	for after := ""; ; {
		last, err := r.ledger.BackfillJSON(ctx, after)
		if err != nil {
			if ctx.Err() == nil {
				r.Logger.WarnContext(ctx, "the ledger's views lack some products until the next start", "error", err)
			}
			return nil
		}
		if after = last; after == "" {
			return nil
		}
	}
}

// pruneEvery is the time between looks for what is too old to keep.
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
				r.Logger.WarnContext(ctx, "could not delete old entries of the ledger; trying again", "error", err)
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
