package ledger

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"
)

// driftPage is how many products one call takes.
const driftPage = 500

// Delays between repairs of one product: doubling from the first to the last.
const (
	firstRepair = 30 * time.Second
	lastRepair  = time.Hour
)

// Drift calls products drifted that have differed for longer than grace, and returns those, and the ones drifted
// before, that are due for a repair. found is asked about each newly drifted product, and due is told of each due one,
// before that is stored; an error of theirs leaves the rest for the next call. If found says that it is no drift, the
// product is left alone for another grace period.
//
// Not drift is what push has not come to: a product whose newest version has not been applied is waiting its turn
// unless push is done with its message, as with every one of CATALOG up to the sequence pushed. Neither is a product
// that a push has claimed, nor a dead one.
func (l *Ledger) Drift(ctx context.Context, grace time.Duration, pushed uint64, found func(context.Context, *Product) (bool, error), due func(context.Context, *Product) error) (n int, err error) {
	now := l.now()
	err = pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error { //nolint:wrapcheck // what fails in it says where
		rows, err := tx.Query(ctx, selectProducts+` WHERE account = $1 AND differs AND (
			state = 'pending' AND differs_since <= $2 AND (repair_at IS NULL OR repair_at <= $3) AND (claimed_until IS NULL OR claimed_until < $3) AND (desired_sequence <= $4 OR observed_version >= desired_version)
			OR state = 'drifted' AND repair_at <= $3) LIMIT $5 FOR UPDATE SKIP LOCKED`,
			l.account, now.Add(-grace), now, int64(min(pushed, math.MaxInt64)), driftPage)
		if err != nil {
			return fmt.Errorf("look for drift: %w", err)
		}
		products, err := pgx.CollectRows(rows, scanProduct)
		if err != nil {
			return fmt.Errorf("look for drift: %w", err)
		}
		for _, p := range products {
			if p.State == Pending {
				drift, err := found(ctx, p)
				if err != nil {
					return err
				}
				if !drift {
					n++
					p.repairAt = now.Add(grace)
					if err := l.store(ctx, tx, p); err != nil {
						return err
					}
					continue
				}
				p.State, p.DriftedAt = Drifted, now
			}
			if err := due(ctx, p); err != nil {
				return err
			}
			p.repairAt = now.Add(min(firstRepair<<min(p.Repairs, 10), lastRepair))
			p.Repairs++
			if err := l.store(ctx, tx, p); err != nil {
				return err
			}
			n++
		}
		return nil
	})
	return n, err
}
