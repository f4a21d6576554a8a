package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
)

// overlapDelay is how long after the end of an overlap its price counts as a difference. Push archives the price within
// this time, unless its schedule was lost.
const overlapDelay = 10 * time.Second

// EndOverlaps derives the differences of products again whose overlaps of prices are over. No message tells that time
// has passed. Push archives these prices by itself, so a difference that lasts becomes drift and is repaired.
func (l *Ledger) EndOverlaps(ctx context.Context) error {
	for {
		rows, err := l.pool.Query(ctx, `SELECT product_id FROM driftless_ledger.product
			WHERE account = $1 AND kept_until <= $2 ORDER BY kept_until, product_id LIMIT $3`,
			l.account, l.now().Add(-overlapDelay), productPageSize)
		if err != nil {
			return fmt.Errorf("find overlaps that are over: %w", err)
		}
		ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return fmt.Errorf("find overlaps that are over: %w", err)
		}
		var changes []Change
		for _, id := range ids {
			changes = append(changes, Change{Product: id, edit: storeAgain})
		}
		if err := l.Apply(ctx, changes...); err != nil || len(ids) < productPageSize {
			return err
		}
	}
}

// storeAgain stores a product without a change. It is resolved at the present time, in which the overlap is over. So
// kept_until is cleared, or is that of a later overlap, and EndOverlaps does not find the product again.
func storeAgain(context.Context, *Ledger, pgx.Tx, *Product) (bool, error) { return true, nil }

// Overlaps yields the products with replaced prices that stay active for a while, of those named or of all. The one
// whose price is archived first comes first. It ends at the limit.
func (l *Ledger) Overlaps(ctx context.Context, ids []string, limit int, yield func(*Product)) error {
	if ids == nil {
		ids = []string{}
	}
	rows, err := l.pool.Query(ctx, selectProducts+` WHERE account = $1 AND kept_until IS NOT NULL
		AND (cardinality($2::text[]) = 0 OR product_id = ANY($2)) ORDER BY kept_until, product_id LIMIT $3`,
		l.account, ids, limit)
	if err != nil {
		return fmt.Errorf("list overlaps: %w", err)
	}
	products, err := pgx.CollectRows(rows, scanProduct)
	if err != nil {
		return fmt.Errorf("list overlaps: %w", err)
	}
	for _, p := range products {
		l.resolve(p)
		yield(p)
	}
	return nil
}

// OverlapCount returns the number of replaced prices that stay active for a while.
func (l *Ledger) OverlapCount(ctx context.Context) (uint64, error) {
	var n int64
	if err := l.pool.QueryRow(ctx, `SELECT coalesce(sum(kept_prices), 0) FROM driftless_ledger.product
		WHERE account = $1 AND kept_until IS NOT NULL`, l.account).Scan(&n); err != nil {
		return 0, fmt.Errorf("count overlaps: %w", err)
	}
	return uint64(n), nil
}

// firstEnd returns when the first of the kept prices is to be archived, zero if there are none.
func firstEnd(kept []*catalogv1.ObservedPrice) (first time.Time) {
	for _, p := range kept {
		if until := p.GetKeepUntil().AsTime(); first.IsZero() || until.Before(first) {
			first = until
		}
	}
	return first
}
