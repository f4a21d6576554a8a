package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
)

// Kinds of problems that a person should know about.
const (
	ProblemDeadLetter = "dead_letter"
	// ProblemDrift is drift that waits for a decision.
	ProblemDrift   = "drift"
	ProblemHeld    = "held"
	ProblemHalted  = "halted"
	ProblemCapture = "capture"
)

// Problem is something that a person should know about, as long as it lasts.
type Problem struct {
	Kind string
	// ID identifies the problem among those of its kind.
	ID    string
	Since time.Time
	// Count is how many problems of the kind are new. It is the same in all problems of a kind.
	Count uint64
	// Product is the product, empty if the problem is not about one.
	Product string
	// Letter is the dead letter of a problem of that kind, and Drift the drift.
	Letter *meshv1.DeadLetter
	Drift  *Drift
	// Rules are the rules of the guard that hold the product.
	Rules []string
	// Reason says why, for problems that the ledger does not know.
	Reason string
}

const (
	// notificationInterval is the shortest time between two notifications to a target, so that a flood is one message.
	notificationInterval = time.Minute
	// notificationRetention is how long notifications are kept after they were made.
	notificationRetention = 30 * 24 * time.Hour
	// maxNamedProblems is how many problems of a kind a notification names. It has the count of the others.
	maxNamedProblems = 5
)

// openProblems selects all open problems: those of the ledger, and those that the caller knows ($2 to $4).
const openProblems = `WITH open AS (
		SELECT '` + ProblemDeadLetter + `' AS kind, id, at AS since FROM driftless_ledger.dead_letter
			WHERE account = $1 AND closed_at IS NULL
		UNION ALL SELECT '` + ProblemDrift + `', id::text, since FROM driftless_ledger.drift
			WHERE account = $1 AND settled_at IS NULL AND state = 'waiting'
		UNION ALL SELECT '` + ProblemHeld +
	`', coalesce(extract(epoch FROM held_since)::text, '') || ' ' || product_id, coalesce(held_since, $5)
			FROM driftless_ledger.product WHERE account = $1 AND state = 'held'
		UNION ALL SELECT kind, id, since FROM unnest($2::text[], $3::text[], $4::timestamptz[]) other (kind, id, since)
	)`

// NotificationRequest says what a notification may be about.
type NotificationRequest struct {
	// Target is who gets the notification.
	Target string
	// Kinds are the kinds that the target wants.
	Kinds []string
	// Others are the open problems that the ledger does not know.
	Others []Problem
	// Unknown are kinds of Others that may be open or not: nobody knows at the moment.
	Unknown []string
}

// CreateNotification stores a notification about problems that the target does not know yet, and reports whether there
// are any. build makes its body from the first problems of each kind. No other one is made before this one is sent, nor
// within a minute: a flood of problems is one notification. A problem that ends and comes back is a new one. While the
// problems are those that the target has refused, none is made for up to an hour.
func (l *Ledger) CreateNotification(ctx context.Context, req NotificationRequest, id string,
	build func([]Problem) ([]byte, error),
) (created bool, err error) {
	err = pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
		// The replicas of the service take turns.
		if _, err := tx.Exec(ctx,
			`SELECT pg_advisory_xact_lock(hashtextextended('driftless notification ' || $1 || ' ' || $2, 0))`,
			l.account, req.Target); err != nil {
			return err
		}
		now := l.now()
		var waits bool
		if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM driftless_ledger.notification
			WHERE account = $1 AND target = $2 AND (sent_at IS NULL OR created_at > $3))`, l.account, req.Target,
			now.Add(-notificationInterval)).Scan(&waits); err != nil || waits {
			return err
		}
		refused, err := l.lastRefusal(ctx, tx, req, now)
		if err != nil || refused.waits(now) {
			return err
		}
		problems, err := l.takeProblems(ctx, tx, req, now)
		if err != nil || len(problems) == 0 {
			return err
		}
		if refused.problems == "" {
			if refused.problems, err = l.problemsOf(ctx, tx, req, now); err != nil {
				return err
			}
		}
		if err := describeProblems(ctx, tx, l.account, problems, req.Others); err != nil {
			return err
		}
		body, err := build(problems)
		if err != nil {
			return err
		}
		created = true
		_, err = tx.Exec(ctx,
			`INSERT INTO driftless_ledger.notification (id, account, target, body, created_at, next_at, problems, refusals)
			VALUES ($1, $2, $3, $4, $5, $5, $6, $7)`, id, l.account, req.Target, body, now, refused.problems, refused.refusals)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("make a notification for %s: %w", req.Target, err)
	}
	return created, nil
}

// takeProblems marks the problems that the target does not know as known, and forgets those that ended. It returns the
// first of each kind, the oldest first.
func (l *Ledger) takeProblems(ctx context.Context, tx pgx.Tx, req NotificationRequest,
	now time.Time,
) ([]Problem, error) {
	kinds, ids, since := req.others()
	if _, err := tx.Exec(ctx, openProblems+`
		DELETE FROM driftless_ledger.notified n WHERE account = $1 AND target = $6
			AND split_part(problem, ' ', 1) <> ALL($7::text[])
			AND NOT EXISTS (SELECT FROM open o WHERE o.kind || ' ' || o.id = n.problem)`,
		l.account, kinds, ids, since, now, req.Target, append([]string{}, req.Unknown...)); err != nil {
		return nil, err
	}
	rows, err := tx.Query(ctx, openProblems+`, new AS (
			INSERT INTO driftless_ledger.notified (account, target, problem, at)
			SELECT $1, $6, kind || ' ' || id, $5 FROM open WHERE kind = ANY($7::text[])
			ON CONFLICT DO NOTHING RETURNING problem
		), numbered AS (
			SELECT kind, id, since, count(*) OVER (PARTITION BY kind) AS count,
				row_number() OVER (PARTITION BY kind ORDER BY since, id) AS number
			FROM open JOIN new ON new.problem = kind || ' ' || id
		)
		SELECT kind, id, since, count FROM numbered WHERE number <= $8 ORDER BY kind, number`,
		l.account, kinds, ids, since, now, req.Target, append([]string{}, req.Kinds...), maxNamedProblems)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (p Problem, err error) {
		err = row.Scan(&p.Kind, &p.ID, &p.Since, &p.Count)
		return p, err
	})
}

// describeProblems reads what a notification says about the problems. others are those that the ledger does not know.
func describeProblems(ctx context.Context, tx pgx.Tx, account string, problems, others []Problem) error {
	for i := range problems {
		p := &problems[i]
		var err error
		switch p.Kind {
		case ProblemDeadLetter:
			var body []byte
			p.Letter = &meshv1.DeadLetter{}
			if err = tx.QueryRow(ctx, `SELECT letter FROM driftless_ledger.dead_letter WHERE id = $1`, p.ID).
				Scan(&body); err == nil {
				err = proto.Unmarshal(body, p.Letter)
			}
			p.Product = p.Letter.GetProductId()
		case ProblemDrift:
			var rows pgx.Rows
			if rows, err = tx.Query(ctx, selectDrift+` WHERE id = $1::bigint`, p.ID); err == nil {
				if p.Drift, err = pgx.CollectExactlyOneRow(rows, scanDrift); err == nil {
					p.Product = p.Drift.Product
				}
			}
		case ProblemHeld:
			_, p.Product, _ = strings.Cut(p.ID, " ")
			err = tx.QueryRow(ctx,
				`SELECT held_by FROM driftless_ledger.product WHERE account = $1 AND product_id = $2`,
				account, p.Product).Scan(&p.Rules)
		}
		if err != nil {
			return fmt.Errorf("read %s %s: %w", p.Kind, p.ID, err)
		}
		isSame := func(o Problem) bool { return o.Kind == p.Kind && o.ID == p.ID }
		if at := slices.IndexFunc(others, isSame); at >= 0 {
			p.Reason = others[at].Reason
		}
	}
	return nil
}

// Notification is a notification that is to be sent.
type Notification struct {
	ID, Target string
	Body       []byte
	CreatedAt  time.Time
	// Attempts is how many attempts failed.
	Attempts int
}

// ErrRefused is wrapped by errors of SendNotification's send if the target will never take that notification.
var ErrRefused = errors.New("refused")

// maxNotificationAge is how long a notification is tried. A later one says what is open then.
const maxNotificationAge = 24 * time.Hour

// SendNotification makes one attempt to send a notification that is due, for one of the targets, and reports whether
// there was one. lease is how long no other process makes an attempt. delay returns after which time the next attempt
// is made if send fails. A process that dies leaves the notification to the next attempt, so it may be sent twice.
// A notification that the target refuses, or that has failed for a day, is given up: its problems are news again for
// the next one, which says what is open then. See CreateNotification for one that was refused.
func (l *Ledger) SendNotification(ctx context.Context, targets []string, lease time.Duration,
	delay func(attempts int) time.Duration, send func(context.Context, Notification) error,
) (found bool, err error) {
	var n Notification
	err = l.pool.QueryRow(ctx, `UPDATE driftless_ledger.notification SET next_at = $3 WHERE id = (
			SELECT id FROM driftless_ledger.notification
			WHERE account = $1 AND target = ANY($2) AND sent_at IS NULL AND next_at <= $4
			ORDER BY created_at LIMIT 1 FOR UPDATE SKIP LOCKED)
		RETURNING id, target, body, created_at, attempts`, l.account, targets, l.now().Add(lease), l.now()).
		Scan(&n.ID, &n.Target, &n.Body, &n.CreatedAt, &n.Attempts)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read the notifications: %w", err)
	}
	// An attempt that has begun ends, and its result is stored, although the service stops. Otherwise each restart
	// would repeat it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lease)
	defer cancel()
	failed := send(ctx, n)
	switch {
	case errors.Is(failed, ErrRefused):
		err = l.giveUpNotification(ctx, n, true)
	case failed != nil && l.now().Sub(n.CreatedAt) > maxNotificationAge:
		err = l.giveUpNotification(ctx, n, false)
	case failed != nil:
		text := strings.ReplaceAll(strings.ToValidUTF8(failed.Error(), "?"), "\x00", "?")
		_, err = l.pool.Exec(ctx,
			`UPDATE driftless_ledger.notification SET attempts = attempts + 1, next_at = $2, error = $3 WHERE id = $1`,
			n.ID, l.now().Add(delay(n.Attempts+1)), text)
	default:
		_, err = l.pool.Exec(ctx,
			`UPDATE driftless_ledger.notification SET sent_at = $2, error = '', refusals = 0 WHERE id = $1`, n.ID, l.now())
	}
	if err != nil {
		return true, fmt.Errorf("store the result of notification %s: %w", n.ID, err)
	}
	return true, nil
}

// giveUpNotification forgets a notification and that the target knows its problems. The time of its creation stays, so
// that the next one is not made within a minute.
func (l *Ledger) giveUpNotification(ctx context.Context, n Notification, refused bool) error {
	return pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx,
			`DELETE FROM driftless_ledger.notified WHERE account = $1 AND target = $2 AND at = $3`,
			l.account, n.Target, n.CreatedAt); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `UPDATE driftless_ledger.notification SET sent_at = $2, created_at = $2,
			error = 'given up', refusals = CASE WHEN $3 THEN refusals + 1 ELSE 0 END WHERE id = $1`, n.ID, l.now(), refused)
		return err
	})
}

// RetryNotifications makes the notifications that wait for another attempt due now, because the settings or a receiver
// may have changed. It forgets refusals, and deletes old notifications.
func (l *Ledger) RetryNotifications(ctx context.Context) error {
	if _, err := l.pool.Exec(ctx, `DELETE FROM driftless_ledger.notification WHERE account = $1 AND created_at < $2`,
		l.account, l.now().Add(-notificationRetention)); err != nil {
		return fmt.Errorf("delete old notifications: %w", err)
	}
	if _, err := l.pool.Exec(ctx,
		`UPDATE driftless_ledger.notification SET next_at = $2 WHERE account = $1 AND sent_at IS NULL AND attempts > 0`,
		l.account, l.now()); err != nil {
		return fmt.Errorf("retry notifications: %w", err)
	}
	if _, err := l.pool.Exec(ctx,
		`UPDATE driftless_ledger.notification SET refusals = 0 WHERE account = $1 AND refusals > 0`, l.account); err != nil {
		return fmt.Errorf("forget refused notifications: %w", err)
	}
	return nil
}
