package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Ages are since when things stand that should not stand for long; zero if there are none.
type Ages struct {
	// Unsynced is since when the product has differed that has the longest. Dead ones are not counted.
	Unsynced time.Time
	// Drift is since when the oldest drift stands that is to be settled. What is only reported, by policy, or ignored,
	// because somebody has decided so, is to stay.
	Drift time.Time
}

// Ages reads an index's end and the drift that is open, however many products there are.
func (l *Ledger) Ages(ctx context.Context) (Ages, error) {
	var unsynced, drift *time.Time
	err := l.pool.QueryRow(ctx, `SELECT
		(SELECT min(differs_since) FROM driftless_ledger.product WHERE account = $1 AND differs AND state <> 'dead'),
		(SELECT min(since) FROM driftless_ledger.drift WHERE account = $1 AND settled_at IS NULL AND state <> 'ignored' AND (action <> 'report' OR decided <> ''))`, l.account).Scan(&unsynced, &drift)
	if err != nil {
		return Ages{}, fmt.Errorf("look for what has differed the longest: %w", err)
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

// OpenLetters counts the open dead letters by reason.
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
