package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// Ages are the starts of the oldest conditions that should not last. Zero if there are none.
type Ages struct {
	// Unsynced is since when the product that has differed the longest has differed. Dead products are not counted, and
	// neither are held ones: they wait for a person.
	Unsynced time.Time
	// Drift is since when the oldest drift is open that will be settled. Drift that is only reported by policy, or was
	// ignored by an operator, stays and is not counted. Neither is that of held products.
	Drift time.Time
}

// Ages reads the end of an index and the open drift, so its cost does not depend on the number of products.
func (l *Ledger) Ages(ctx context.Context) (Ages, error) {
	var unsynced, drift *time.Time
	err := l.pool.QueryRow(ctx, `SELECT
		(SELECT min(differs_since) FROM driftless_ledger.product
			WHERE account = $1 AND differs AND state NOT IN (`+sqlList(Dead, Held)+`)),
		(SELECT min(since) FROM driftless_ledger.drift WHERE account = $1 AND settled_at IS NULL
			AND state <> `+sqlList(Ignored)+` AND (action <> `+sqlList(catalog.Report)+` OR decided <> '')`+
		andNotHeld+`)`,
		l.account).Scan(&unsynced, &drift)
	if err != nil {
		return Ages{}, fmt.Errorf("find the oldest difference: %w", err)
	}
	var out Ages
	if unsynced != nil {
		out.Unsynced = *unsynced
	}
	if drift != nil {
		out.Drift = *drift
	}
	return out, nil
}

// OpenLetters returns the number of open dead letters by reason.
func (l *Ledger) OpenLetters(ctx context.Context) (map[string]uint64, error) {
	rows, err := l.pool.Query(ctx,
		`SELECT reason, count(*) FROM driftless_ledger.dead_letter WHERE account = $1 AND closed_at IS NULL GROUP BY reason`, l.account)
	if err != nil {
		return nil, fmt.Errorf("count dead letters: %w", err)
	}
	out := map[string]uint64{}
	var reason string
	var n int64
	if _, err := pgx.ForEachRow(rows, []any{&reason, &n},
		func() error { out[reason] = uint64(n); return nil }); err != nil {
		return nil, fmt.Errorf("count dead letters: %w", err)
	}
	return out, nil
}
