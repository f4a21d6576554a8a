package ledger

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// StreamPosition says that the ledger has everything of a stream that its consumer has acknowledged, up to a sequence.
type StreamPosition struct {
	Stream string
	// Created is when NATS created the stream.
	Created  time.Time
	Sequence uint64
	// ReadTo is the sequence up to which everything that the ledger's answers rest on has read the stream. -1 if that
	// is not known.
	ReadTo int64
	// MessageAt is when NATS stored the message with the sequence. Zero if the stream does not have it any more.
	MessageAt time.Time
	// At is when the position was stored. Only Positions sets it.
	At time.Time
}

// Positions returns the stored positions by stream. There are none in a new ledger, and in one of an earlier version.
func (l *Ledger) Positions(ctx context.Context) (map[string]StreamPosition, error) {
	return l.positions(ctx, `SELECT stream, created, sequence, read_to, message_at, at
		FROM driftless_ledger.stream_position WHERE account = $1`)
}

// PositionsAfterReread returns the positions as they will be once the reread under way has ended.
func (l *Ledger) PositionsAfterReread(ctx context.Context) (map[string]StreamPosition, error) {
	return l.positions(ctx, `SELECT stream, created, last, read_to, NULL::timestamptz, r.since
		FROM driftless_ledger.reread_stream JOIN driftless_ledger.reread r USING (account) WHERE account = $1
		UNION ALL SELECT stream, created, sequence, read_to, message_at, at FROM driftless_ledger.stream_position
		WHERE account = $1 AND stream NOT IN (SELECT stream FROM driftless_ledger.reread_stream WHERE account = $1)`)
}

func (l *Ledger) positions(ctx context.Context, query string) (map[string]StreamPosition, error) {
	rows, err := l.pool.Query(ctx, query, l.account)
	if err != nil {
		return nil, fmt.Errorf("read the ledger's positions in the streams: %w", err)
	}
	out := map[string]StreamPosition{}
	var p StreamPosition
	var sequence int64
	var message *time.Time
	columns := []any{&p.Stream, &p.Created, &sequence, &p.ReadTo, &message, &p.At}
	if _, err := pgx.ForEachRow(rows, columns, func() error {
		p.Sequence, p.MessageAt = uint64(sequence), time.Time{}
		if message != nil {
			p.MessageAt = *message
		}
		out[p.Stream] = p
		return nil
	}); err != nil {
		return nil, fmt.Errorf("read the ledger's positions in the streams: %w", err)
	}
	return out, nil
}

// Advance stores positions that were read from NATS before. Positions behind the stored ones change nothing. While the
// ledger is read again, nothing is stored. It returns ErrReplaced if the ledger lacks what this process has stored: the
// positions would claim what it does not have.
func (l *Ledger) Advance(ctx context.Context, positions []StreamPosition) error {
	w := l.writer.Load()
	if w == nil || len(positions) == 0 {
		return nil
	}
	c := columnsOf(positions)
	var continuous bool
	err := l.pool.QueryRow(ctx, `WITH ours AS MATERIALIZED (SELECT `+ownCounts+` AS continuous), stored AS (
			INSERT INTO driftless_ledger.stream_position AS p (account, stream, created, sequence, message_at, read_to, at)
			SELECT $1, stream, created, sequence, message_at, read_to, now()
			FROM ours, unnest($4::text[], $5::timestamptz[], $6::bigint[], $7::timestamptz[], $8::bigint[])
				AS x (stream, created, sequence, message_at, read_to)
			WHERE continuous AND NOT EXISTS (SELECT FROM driftless_ledger.reread WHERE account = $1)
			ON CONFLICT (account, stream) DO UPDATE SET
				sequence = greatest(p.sequence, excluded.sequence), read_to = greatest(p.read_to, excluded.read_to),
				message_at = CASE WHEN p.sequence < excluded.sequence THEN excluded.message_at ELSE p.message_at END,
				at = excluded.at
			WHERE p.created = excluded.created
				AND (p.sequence < excluded.sequence OR p.read_to < excluded.read_to))
		SELECT continuous FROM ours`, l.account, w.id, w.counts(), c.streams, c.created, c.sequences, c.messages,
		c.readTo).Scan(&continuous)
	switch {
	case err != nil:
		return fmt.Errorf("store the ledger's positions in the streams: %w", err)
	case !continuous:
		return ErrReplaced
	}
	return nil
}

// AdvanceRead stores StreamPosition.ReadTo of positions that were read from NATS before, also while the ledger is read
// again. Positions in other streams than the stored ones, or behind them, change nothing. It stores nothing if the
// ledger lacks what this process has stored.
func (l *Ledger) AdvanceRead(ctx context.Context, positions []StreamPosition) error {
	w := l.writer.Load()
	if w == nil || len(positions) == 0 {
		return nil
	}
	c := columnsOf(positions)
	if _, err := l.pool.Exec(ctx, `WITH ours AS MATERIALIZED (SELECT `+ownCounts+` AS continuous), x AS (
			SELECT stream, created, read_to FROM ours, unnest($4::text[], $5::timestamptz[], $6::bigint[])
				AS x (stream, created, read_to) WHERE continuous),
		again AS (UPDATE driftless_ledger.reread_stream s SET read_to = x.read_to FROM x WHERE s.account = $1
			AND s.stream = x.stream AND s.created = x.created AND s.read_to < x.read_to)
		UPDATE driftless_ledger.stream_position p SET read_to = x.read_to FROM x WHERE p.account = $1
			AND p.stream = x.stream AND p.created = x.created AND p.read_to < x.read_to`, l.account, w.id, w.counts(),
		c.streams, c.created, c.readTo); err != nil {
		return fmt.Errorf("store how far the streams were read: %w", err)
	}
	return nil
}

// positionColumns are the columns of positions.
type positionColumns struct {
	streams           []string
	created           []time.Time
	sequences, readTo []int64
	messages          []*time.Time
}

func columnsOf(positions []StreamPosition) (c positionColumns) {
	for _, p := range positions {
		c.streams, c.created = append(c.streams, p.Stream), append(c.created, p.Created)
		c.sequences, c.readTo = append(c.sequences, int64(p.Sequence)), append(c.readTo, p.ReadTo)
		c.messages = append(c.messages, nullable(p.MessageAt))
	}
	return c
}

// Delivered is what NATS says about the ledger's consumer of a stream.
type Delivered struct {
	Stream string
	// Created is when the stream was created, and Last the sequence of its latest message.
	Created time.Time
	Last    uint64
	// Begun reports whether the consumer has delivered anything. To is the sequence up to which it has. Up to the
	// sequence Acknowledged, all of it is acknowledged.
	Begun            bool
	To, Acknowledged uint64
	// MessageAt is when the message was stored that now has the sequence of the ledger's position. Zero if there is
	// none, or nobody has looked.
	MessageAt time.Time
	// ReadTo is StreamPosition.ReadTo now. HasRemoved reports whether messages behind the stored one are gone, although
	// no later ones have replaced them.
	ReadTo     int64
	HasRemoved bool
}

// isOther reports whether a stream is not the one that a position is from. It was created again, or it ends before the
// position, or it has another message there: it was restored from an older copy, and got others since.
func (d Delivered) isOther(p StreamPosition) bool {
	hasOther := !p.MessageAt.IsZero() && !d.MessageAt.IsZero() &&
		!p.MessageAt.Equal(d.MessageAt.Truncate(time.Microsecond))
	return !p.Created.Equal(d.Created.Truncate(time.Microsecond)) || d.Last < p.Sequence || hasOther
}

// Gap is a part of a stream that the ledger may lack: the messages from the first to the last, both included. It is
// empty if the last is before the first.
type Gap struct {
	Stream      string
	Created     time.Time
	First, Last uint64
	// Acknowledged is the sequence up to which everything was acknowledged: the ledger had that once.
	Acknowledged uint64
	// ReadTo is StreamPosition.ReadTo once the gap was read.
	ReadTo int64
}

// Damage is what happened to the streams. Each field names one of them, "" for none.
type Damage struct {
	// Other is not the stream that the ledger was made from: it was created again, or restored from an older copy.
	Other string
	// Removed has lost messages that were not read.
	Removed string
}

// NeedsComparison reports whether every product must be compared with the streams.
func (d Damage) NeedsComparison() bool { return d != Damage{} }

// Gaps returns what the ledger may lack of what was delivered to it, and what is wrong with the streams.
//
// The last messages that were delivered to a process that was killed count too: nobody knows which of them it stored.
func Gaps(stored map[string]StreamPosition, delivered []Delivered) (gaps []Gap, damage Damage) {
	for _, d := range delivered {
		p, known := stored[d.Stream]
		isOther := known && d.isOther(p)
		if isOther && damage.Other == "" {
			damage.Other = d.Stream
		}
		hasRemoved := known && !isOther && d.HasRemoved
		if hasRemoved && damage.Removed == "" {
			damage.Removed = d.Stream
		}
		g := Gap{
			Stream:       d.Stream,
			Created:      d.Created,
			First:        p.Sequence + 1,
			Acknowledged: d.Acknowledged,
			ReadTo:       d.ReadTo,
		}
		switch {
		case isOther:
			g.First = 1
		case known:
			// A process that has just started knows less of what others have read.
			g.ReadTo = max(g.ReadTo, p.ReadTo)
		}
		if d.Begun {
			g.Last = d.To
		}
		// The position in such a stream is stored even if nothing was delivered from it.
		if isOther || hasRemoved || g.Last >= g.First {
			gaps = append(gaps, g)
		}
	}
	return gaps, damage
}

// AllGaps is Gaps if nobody knows how much of the streams the ledger has. The gaps are everything that was delivered.
func AllGaps(stored map[string]StreamPosition, delivered []Delivered) (gaps []Gap, damage Damage) {
	some, damage := Gaps(stored, delivered)
	gaps, _ = Gaps(nil, delivered)
	for _, g := range some {
		// Nothing was delivered from this stream, but its position must be stored.
		if !slices.ContainsFunc(gaps, func(other Gap) bool { return other.Stream == g.Stream }) {
			gaps = append(gaps, g)
		}
	}
	return gaps, damage
}
