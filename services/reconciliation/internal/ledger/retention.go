package ledger

import (
	"context"
	"fmt"
	"time"
)

// pruneBatch is how many rows one statement deletes, small enough not to block other statements.
const pruneBatch = 1000

// Prune deletes one batch of each kind of row that is older than an age: entries of the audit trail, replaced states,
// settled drift and closed dead letters. It returns how many rows it deleted; 0 means that nothing is left to delete.
func (l *Ledger) Prune(ctx context.Context, age time.Duration) (deleted int64, err error) {
	before := l.now().Add(-age)
	// States of an earlier time are incomplete from now on.
	if _, err := l.pool.Exec(ctx, `UPDATE driftless_ledger.past_state_horizon SET known_from = $2
		WHERE account = $1 AND known_from < $2`, l.account, before); err != nil {
		return 0, fmt.Errorf("store how far back states are known: %w", err)
	}
	for _, what := range []string{
		`history WHERE id IN (SELECT id FROM driftless_ledger.history WHERE account = $1 AND at < $2 LIMIT $3)`,
		`past_state WHERE id IN (SELECT id FROM driftless_ledger.past_state WHERE account = $1 AND until < $2 LIMIT $3)`,
		`drift WHERE id IN (SELECT id FROM driftless_ledger.drift WHERE account = $1 AND settled_at < $2 LIMIT $3)`,
		`dead_letter WHERE id IN (SELECT id FROM driftless_ledger.dead_letter WHERE account = $1 AND closed_at < $2 LIMIT $3)`,
	} {
		tag, err := l.pool.Exec(ctx, `DELETE FROM driftless_ledger.`+what, l.account, before, pruneBatch)
		if err != nil {
			return deleted, fmt.Errorf("delete what is older than %s: %w", age, err)
		}
		deleted += tag.RowsAffected()
	}
	return deleted, nil
}
