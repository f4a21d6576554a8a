package reconciliation

import (
	"context"
	"time"
)

// horizonInterval is the time between two looks at whether the ledger has the whole catalog.
const horizonInterval = time.Second

// beginPastStates stores the time from which on the ledger knows past states, once it has the whole catalog for the
// first time. Before that it cannot tell a product that it has not received from one that did not exist.
func (r *reconciler) beginPastStates(ctx context.Context) error {
	ticker := time.NewTicker(horizonInterval)
	defer ticker.Stop()
	for {
		if equality, _ := r.view.Latest(); equality.GetAsOf() != nil {
			// Its own time, because the first read of the tables may have ended after the time that it answers for.
			err := r.ledger.KnowFrom(ctx, equality.GetAt().AsTime())
			if err == nil || ctx.Err() != nil {
				return nil
			}
			r.Logger.WarnContext(ctx, "could not store how far back states are known; retrying", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}
