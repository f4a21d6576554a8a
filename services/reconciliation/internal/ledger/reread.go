package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// rereadLease is how long a process reads again before another one may do so. A page takes less.
const rereadLease = 10 * time.Second

// Reread says that the ledger lacks what NATS has delivered to it, and is reading it again.
type Reread struct {
	// Reason is why, in words for operators.
	Reason string
	Since  time.Time
	// CopiedAt is when the positions of the copy were stored. Zero if it has none.
	CopiedAt time.Time
	// Compare reports whether the streams are others than those that the ledger was made from, so that every product must
	// be compared with them. WaitsFor is what must happen before.
	Compare  bool
	WaitsFor string
	// Missing is how many messages have changed the ledger, as far as they were read.
	Missing uint64
	// Gaps are what is left to read, in no order. Read and Total are in sequences.
	Gaps        []Gap
	Read, Total uint64
}

// Continuity returns why the ledger cannot answer now, nil if nothing is wrong. It returns ErrReplaced if the ledger
// lacks what this process has stored.
func (l *Ledger) Continuity(ctx context.Context) (*Reread, error) {
	if w := l.writer.Load(); w != nil {
		var continuous bool
		if err := l.pool.QueryRow(ctx, `SELECT `+ownCounts, l.account, w.id, w.counts()).Scan(&continuous); err != nil {
			return nil, fmt.Errorf("check that the ledger was not replaced: %w", err)
		}
		if !continuous {
			return nil, ErrReplaced
		}
	}
	return l.readReread(ctx)
}

// readReread returns the reread under way, nil if there is none.
func (l *Ledger) readReread(ctx context.Context) (*Reread, error) {
	rows, err := l.pool.Query(ctx, `SELECT r.reason, r.since, r.copied_at, r.missing, r.compare, r.waits_for,
			s.stream, s.created, s.first, s.next, s.last
		FROM driftless_ledger.reread r LEFT JOIN driftless_ledger.reread_stream s USING (account)
		WHERE r.account = $1`, l.account)
	if err != nil {
		return nil, fmt.Errorf("read what the ledger lacks: %w", err)
	}
	defer rows.Close()
	var out *Reread
	for rows.Next() {
		r := Reread{}
		var copied, created *time.Time
		var stream *string
		var missing int64
		var first, next, last *int64
		if err := rows.Scan(&r.Reason, &r.Since, &copied, &missing, &r.Compare, &r.WaitsFor, &stream, &created,
			&first, &next, &last); err != nil {
			return nil, fmt.Errorf("read what the ledger lacks: %w", err)
		}
		if out == nil {
			if copied != nil {
				r.CopiedAt = *copied
			}
			r.Missing, out = uint64(missing), &r
		}
		if stream == nil {
			continue
		}
		out.Total += uint64(max(*last-*first+1, 0))
		out.Read += uint64(*next - *first)
		if *next <= *last {
			out.Gaps = append(out.Gaps,
				Gap{Stream: *stream, Created: *created, First: uint64(*next), Last: uint64(*last)})
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read what the ledger lacks: %w", err)
	}
	return out, nil
}

// BeginReread stores that the ledger lacks parts of the streams, and makes this process a writer of it. What was to be
// read again before stays so. compare is Reread.Compare. Commands that the copy had yet to publish are deleted: they follow from what was true
// when it was made, and are issued again if they are still needed.
func (l *Ledger) BeginReread(ctx context.Context, reason string, copiedAt time.Time, compare bool, gaps []Gap) error {
	w := newWriter()
	err := pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
		batch := &pgx.Batch{}
		batch.Queue(`INSERT INTO driftless_ledger.reread AS r (account, reason, since, copied_at, compare)
			VALUES ($1, $2, now(), $3, $4)
			ON CONFLICT (account) DO UPDATE SET copied_at = least(r.copied_at, excluded.copied_at),
				reason = CASE WHEN excluded.compare THEN excluded.reason ELSE r.reason END,
				since = CASE WHEN excluded.compare THEN excluded.since ELSE r.since END,
				compare = r.compare OR excluded.compare`,
			l.account, reason, nullable(copiedAt), compare)
		for _, g := range gaps {
			batch.Queue(`INSERT INTO driftless_ledger.reread_stream AS s (account, stream, created, first, next, last)
				VALUES ($1, $2, $3, $4, $4, $5) ON CONFLICT (account, stream) DO UPDATE SET created = excluded.created,
					next = CASE WHEN s.created = excluded.created AND s.first <= excluded.first THEN s.next
						ELSE excluded.first END,
					first = CASE WHEN s.created = excluded.created THEN least(s.first, excluded.first)
						ELSE excluded.first END,
					last = CASE WHEN s.created = excluded.created THEN greatest(s.last, excluded.last)
						ELSE excluded.last END`,
				l.account, g.Stream, g.Created, int64(g.First), int64(g.Last))
		}
		batch.Queue(`DELETE FROM driftless_ledger.outbox WHERE account = $1 AND kind = $2`, l.account, kindCommand)
		if err := tx.SendBatch(ctx, batch).Close(); err != nil {
			return err
		}
		return l.join(ctx, tx, w)
	})
	if err != nil {
		return fmt.Errorf("store that the ledger must be read again: %w", err)
	}
	l.writer.Store(w)
	return nil
}

// TakeReread reports whether the holder may read again now. It uses the database's clock.
func (l *Ledger) TakeReread(ctx context.Context, holder string) (bool, error) {
	tag, err := l.pool.Exec(ctx, `UPDATE driftless_ledger.reread SET holder = $2, until = now() + $3
		WHERE account = $1 AND (holder = $2 OR until < now())`, l.account, holder, rereadLease)
	if err != nil {
		return false, fmt.Errorf("take the lease to read the ledger again: %w", err)
	}
	return tag.RowsAffected() > 0, nil
}

// AdvanceReread stores that a stream was read again up to the message before the next one, and how many messages have
// changed the ledger.
func (l *Ledger) AdvanceReread(ctx context.Context, stream string, next uint64, missing int) error {
	if _, err := l.pool.Exec(ctx, `WITH counted AS (
			UPDATE driftless_ledger.reread SET missing = missing + $4 WHERE account = $1)
		UPDATE driftless_ledger.reread_stream SET next = greatest(next, $3) WHERE account = $1 AND stream = $2`,
		l.account, stream, int64(next), missing); err != nil {
		return fmt.Errorf("store how much of stream %s was read again: %w", stream, err)
	}
	return nil
}

// WaitReread stores what the reread waits for.
func (l *Ledger) WaitReread(ctx context.Context, what string) error {
	if _, err := l.pool.Exec(ctx, `UPDATE driftless_ledger.reread SET waits_for = $2
		WHERE account = $1 AND waits_for <> $2`, l.account, what); err != nil {
		return fmt.Errorf("store what the reread of the ledger waits for: %w", err)
	}
	return nil
}

// CountMissing stores that a comparison found products that are not as in the streams, and that it is done.
func (l *Ledger) CountMissing(ctx context.Context, missing int) error {
	if _, err := l.pool.Exec(ctx, `UPDATE driftless_ledger.reread SET missing = missing + $2, compare = false
		WHERE account = $1`, l.account, missing); err != nil {
		return fmt.Errorf("store that the ledger was compared with the streams: %w", err)
	}
	return nil
}

// EndReread stores that the ledger has again what NATS has delivered to it, with an entry of the audit trail if
// anything was missing. It reports whether that is so: another process may have found more to read meanwhile.
func (l *Ledger) EndReread(ctx context.Context, entry func(Reread) *Entry) (ended *Reread, err error) {
	w := l.writer.Load()
	if w == nil {
		return nil, nil
	}
	err = pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
		var r Reread
		var copied *time.Time
		var missing int64
		err := tx.QueryRow(ctx, `SELECT reason, since, copied_at, missing FROM driftless_ledger.reread
			WHERE account = $1 FOR UPDATE`, l.account).Scan(&r.Reason, &r.Since, &copied, &missing)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		if r.Missing = uint64(missing); copied != nil {
			r.CopiedAt = *copied
		}
		var isDone bool
		if err := tx.QueryRow(ctx, `SELECT `+ownCounts+` AND NOT EXISTS (SELECT FROM driftless_ledger.reread_stream
				WHERE account = $1 AND next <= last)
			AND NOT (SELECT compare FROM driftless_ledger.reread WHERE account = $1)`, l.account, w.id, w.counts()).Scan(&isDone); err != nil || !isDone {
			return err
		}
		if err := l.endReread(ctx, tx, r); err != nil {
			return err
		}
		if e := entry(r); e != nil {
			if err := l.record(ctx, tx, *e); err != nil {
				return err
			}
		}
		ended = &r
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("store that the ledger was read again: %w", err)
	}
	return ended, nil
}

// endReread stores the positions up to which the streams were read, and the gap in the past states.
func (l *Ledger) endReread(ctx context.Context, tx pgx.Tx, r Reread) error {
	batch := &pgx.Batch{}
	batch.Queue(`INSERT INTO driftless_ledger.stream_position AS p (account, stream, created, sequence, at)
		SELECT account, stream, created, last, now() FROM driftless_ledger.reread_stream WHERE account = $1
		ON CONFLICT (account, stream) DO UPDATE SET created = excluded.created, at = excluded.at,
			sequence = CASE WHEN p.created = excluded.created THEN greatest(p.sequence, excluded.sequence)
				ELSE excluded.sequence END`, l.account)
	batch.Queue(`DELETE FROM driftless_ledger.reread WHERE account = $1`, l.account)
	if r.Missing > 0 && !r.CopiedAt.IsZero() {
		batch.Queue(`INSERT INTO driftless_ledger.past_state_gap (account, since, until) VALUES ($1, $2, now())`,
			l.account, r.CopiedAt)
	}
	return tx.SendBatch(ctx, batch).Close()
}
