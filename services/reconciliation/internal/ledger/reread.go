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

// maxUncounted is the longest time for which messages are stored without being counted. Positions are stored once a
// second.
const maxUncounted = 15 * time.Second

// Reread says that the ledger lacks what NATS has delivered to it, and is reading it again.
type Reread struct {
	// Reason is why, in words for operators.
	Reason string
	Since  time.Time
	// CopiedAt is when the positions of the copy were stored. Zero if it has none.
	CopiedAt time.Time
	// Compare reports whether the streams are others than those that the ledger was made from, or have lost messages
	// that were not read. Then every product must be compared with them. WaitsFor is what must happen before.
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
	rows, err := l.pool.Query(ctx, `SELECT r.reason, r.since, r.copied_at, r.missing, r.compare AND NOT r.compared, r.waits_for,
			s.stream, s.created, s.first, s.next, s.last, s.acknowledged
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
		var first, next, last, acknowledged *int64
		if err := rows.Scan(&r.Reason, &r.Since, &copied, &missing, &r.Compare, &r.WaitsFor, &stream, &created,
			&first, &next, &last, &acknowledged); err != nil {
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
			out.Gaps = append(out.Gaps, Gap{
				Stream: *stream, Created: *created, First: uint64(*next), Last: uint64(*last),
				Acknowledged: uint64(*acknowledged),
			})
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read what the ledger lacks: %w", err)
	}
	return out, nil
}

// BeginReread stores that the ledger lacks parts of the streams, and makes this process a writer of it. What was to be
// read again before stays so. compare is Reread.Compare.
//
// Commands that the copy had yet to publish are deleted. They follow from what was true when it was made. If they are
// still needed, they are issued again.
func (l *Ledger) BeginReread(ctx context.Context, reason string, copiedAt time.Time, compare bool, gaps []Gap) error {
	w := newWriter()
	err := pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
		batch := &pgx.Batch{}
		batch.Queue(`INSERT INTO driftless_ledger.reread AS r (account, reason, since, copied_at, compare)
			VALUES ($1, $2, now(), $3, $4)
			ON CONFLICT (account) DO UPDATE SET copied_at = least(r.copied_at, excluded.copied_at),
				reason = CASE WHEN excluded.compare THEN excluded.reason ELSE r.reason END,
				since = CASE WHEN excluded.compare THEN excluded.since ELSE r.since END,
				compare = r.compare OR excluded.compare, compared = r.compared AND NOT excluded.compare`,
			l.account, reason, nullable(copiedAt), compare)
		for _, g := range gaps {
			batch.Queue(`INSERT INTO driftless_ledger.reread_stream AS s (account, stream, created, first, next, last, acknowledged, read_to)
				VALUES ($1, $2, $3, $4, $4, $5, $6, $7) ON CONFLICT (account, stream) DO UPDATE SET created = excluded.created,
					next = CASE WHEN s.created = excluded.created AND s.first <= excluded.first THEN s.next
						ELSE excluded.first END,
					first = CASE WHEN s.created = excluded.created THEN least(s.first, excluded.first)
						ELSE excluded.first END,
					last = CASE WHEN s.created = excluded.created THEN greatest(s.last, excluded.last)
						ELSE excluded.last END,
					acknowledged = excluded.acknowledged, read_to = excluded.read_to`,
				l.account, g.Stream, g.Created, int64(g.First), int64(g.Last), int64(g.Acknowledged), g.ReadTo)
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

// RereadProgress says how far a stream was read again.
type RereadProgress struct {
	Stream string
	// Next is the sequence to continue from.
	Next uint64
	// Missing is how many changes the ledger had once, and did not have any more.
	Missing int
	// From and To are when the first and the last message were stored. Zero if there was none.
	From, To time.Time
}

// AdvanceReread stores how far a stream was read again.
func (l *Ledger) AdvanceReread(ctx context.Context, p RereadProgress) error {
	if _, err := l.pool.Exec(ctx, `WITH counted AS (
			UPDATE driftless_ledger.reread SET missing = missing + $4,
				first_at = least(first_at, $5), last_at = greatest(last_at, $6) WHERE account = $1)
		UPDATE driftless_ledger.reread_stream SET next = greatest(next, $3) WHERE account = $1 AND stream = $2`,
		l.account, p.Stream, int64(p.Next), p.Missing, nullable(p.From), nullable(p.To)); err != nil {
		return fmt.Errorf("store how much of stream %s was read again: %w", p.Stream, err)
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
	if _, err := l.pool.Exec(ctx, `UPDATE driftless_ledger.reread SET missing = missing + $2, compared = true
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
			AND NOT (SELECT compare AND NOT compared FROM driftless_ledger.reread WHERE account = $1)`,
			l.account, w.id, w.counts()).Scan(&isDone); err != nil || !isDone {
			return err
		}
		if err := l.endReread(ctx, tx); err != nil {
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
func (l *Ledger) endReread(ctx context.Context, tx pgx.Tx) error {
	batch := &pgx.Batch{}
	// Another stream counts from where it is, even if that is behind the position in the earlier one. The positions in
	// streams that were not read again stay as they were.
	batch.Queue(`DELETE FROM driftless_ledger.stream_position p
		USING driftless_ledger.reread r JOIN driftless_ledger.reread_stream s USING (account)
		WHERE p.account = $1 AND r.account = $1 AND r.compare AND s.stream = p.stream`, l.account)
	batch.Queue(`INSERT INTO driftless_ledger.stream_position AS p (account, stream, created, sequence, read_to, at)
		SELECT account, stream, created, last, read_to, now() FROM driftless_ledger.reread_stream WHERE account = $1
		ON CONFLICT (account, stream) DO UPDATE SET created = excluded.created, at = excluded.at, message_at = NULL,
			sequence = greatest(p.sequence, excluded.sequence), read_to = greatest(p.read_to, excluded.read_to)`, l.account)
	// A copy lacks what came and went since it was made. If nothing is missing although messages of a longer time were
	// not counted as stored, an earlier version of reconciliation has stored them. It may not keep past states.
	batch.Queue(`INSERT INTO driftless_ledger.past_state_gap (account, since, until)
		SELECT account, CASE WHEN missing > 0 THEN copied_at ELSE first_at END,
			CASE WHEN missing > 0 THEN now() ELSE last_at END
		FROM driftless_ledger.reread
		WHERE account = $1 AND copied_at IS NOT NULL AND (missing > 0 OR last_at - first_at > $2)`,
		l.account, maxUncounted)
	batch.Queue(`DELETE FROM driftless_ledger.reread WHERE account = $1`, l.account)
	return tx.SendBatch(ctx, batch).Close()
}
