package ledger

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

// maxRefusalDelay is the longest time between two notifications about the same problems that a target refuses. The
// receiver may have been repaired, and nobody tells.
const maxRefusalDelay = time.Hour

// refusal is what is known of a target that refused its last notification.
type refusal struct {
	// problems identifies the problems that are open now and concern the target. Empty if that was not needed.
	problems string
	// refusals is how often the target has refused them, one after another. at is when it did so last.
	refusals int
	at       time.Time
}

// waits reports whether it is too early to make another notification about the problems.
func (r refusal) waits(now time.Time) bool {
	if r.refusals == 0 {
		return false
	}
	return now.Before(r.at.Add(min(notificationInterval<<min(r.refusals, 10), maxRefusalDelay)))
}

// lastRefusal returns whether the target has refused the problems that are open now.
func (l *Ledger) lastRefusal(ctx context.Context, tx pgx.Tx, req NotificationRequest,
	now time.Time,
) (refusal, error) {
	var last refusal
	err := tx.QueryRow(ctx, `SELECT problems, refusals, created_at FROM driftless_ledger.notification
		WHERE account = $1 AND target = $2 ORDER BY created_at DESC LIMIT 1`, l.account, req.Target).
		Scan(&last.problems, &last.refusals, &last.at)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && last.refusals == 0 {
		return refusal{}, nil
	}
	if err != nil {
		return refusal{}, err
	}
	problems, err := l.problemsOf(ctx, tx, req, now)
	if err != nil || problems != last.problems {
		return refusal{problems: problems}, err
	}
	return last, nil
}

// problemsOf identifies the problems that are open and concern the target.
func (l *Ledger) problemsOf(ctx context.Context, tx pgx.Tx, req NotificationRequest,
	now time.Time,
) (problems string, err error) {
	kinds, ids, since := req.others()
	err = tx.QueryRow(ctx, openProblems+`
		SELECT coalesce(md5(string_agg(kind || ' ' || id, E'\n' ORDER BY kind, id)), '') FROM open WHERE kind = ANY($6)`,
		l.account, kinds, ids, since, now, append([]string{}, req.Kinds...)).Scan(&problems)
	return problems, err
}

// others returns the open problems that the ledger does not know, as columns.
func (req NotificationRequest) others() (kinds, ids []string, since []time.Time) {
	kinds, ids, since = []string{}, []string{}, []time.Time{}
	for _, p := range req.Others {
		kinds, ids, since = append(kinds, p.Kind), append(ids, p.ID), append(since, p.Since)
	}
	return kinds, ids, since
}
