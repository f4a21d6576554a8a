package reconciliation

import (
	"context"
	"time"
)

// pruneInterval is the time between two searches for expired entries.
const pruneInterval = 10 * time.Minute

// prune deletes what is older than the retention, in small batches, until ctx ends.
func (r *reconciler) prune(ctx context.Context) error {
	if r.HistoryRetention <= 0 {
		return nil
	}
	ticker := time.NewTicker(pruneInterval)
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
