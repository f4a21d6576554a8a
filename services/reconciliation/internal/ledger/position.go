package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// StreamPosition says that the ledger has everything of a stream that its consumer has acknowledged, up to a sequence.
type StreamPosition struct {
	Stream string
	// Created is when NATS created the stream.
	Created  time.Time
	Sequence uint64
	// MessageAt is when NATS stored the message with the sequence. Zero if the stream does not have it any more.
	MessageAt time.Time
	// At is when the position was stored. Only Positions sets it.
	At time.Time
}

// Positions returns the stored positions by stream. There are none in a new ledger, and in one of an earlier version.
func (l *Ledger) Positions(ctx context.Context) (map[string]StreamPosition, error) {
	rows, err := l.pool.Query(ctx, `SELECT stream, created, sequence, message_at, at
		FROM driftless_ledger.stream_position
		WHERE account = $1`, l.account)
	if err != nil {
		return nil, fmt.Errorf("read the ledger's positions in the streams: %w", err)
	}
	positions, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p StreamPosition, err error) {
		var sequence int64
		var message *time.Time
		err = row.Scan(&p.Stream, &p.Created, &sequence, &message, &p.At)
		if p.Sequence = uint64(sequence); message != nil {
			p.MessageAt = *message
		}
		return p, err
	})
	if err != nil {
		return nil, fmt.Errorf("read the ledger's positions in the streams: %w", err)
	}
	out := make(map[string]StreamPosition, len(positions))
	for _, p := range positions {
		out[p.Stream] = p
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
	streams, created, sequences, messages := columnsOf(positions)
	var continuous bool
	err := l.pool.QueryRow(ctx, `WITH ours AS MATERIALIZED (SELECT `+ownCounts+` AS continuous), stored AS (
			INSERT INTO driftless_ledger.stream_position AS p (account, stream, created, sequence, message_at, at)
			SELECT $1, stream, created, sequence, message_at, now()
			FROM ours, unnest($4::text[], $5::timestamptz[], $6::bigint[], $7::timestamptz[])
				AS x (stream, created, sequence, message_at)
			WHERE continuous AND NOT EXISTS (SELECT FROM driftless_ledger.reread WHERE account = $1)
			ON CONFLICT (account, stream) DO UPDATE SET
				sequence = excluded.sequence, message_at = excluded.message_at, at = excluded.at
			WHERE p.created = excluded.created AND p.sequence < excluded.sequence)
		SELECT continuous FROM ours`, l.account, w.id, w.counts(), streams, created, sequences, messages).
		Scan(&continuous)
	switch {
	case err != nil:
		return fmt.Errorf("store the ledger's positions in the streams: %w", err)
	case !continuous:
		return ErrReplaced
	}
	return nil
}

func columnsOf(positions []StreamPosition) (
	streams []string, created []time.Time, sequences []int64, messages []*time.Time,
) {
	for _, p := range positions {
		streams, created = append(streams, p.Stream), append(created, p.Created)
		sequences, messages = append(sequences, int64(p.Sequence)), append(messages, nullable(p.MessageAt))
	}
	return streams, created, sequences, messages
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
}

// Gaps returns what the ledger may lack of what was delivered to it. other names a stream that is not the one that the
// ledger was made from: it was created again, or restored from an older copy.
//
// The last messages that were delivered to a process that was killed count too: nobody knows which of them it stored.
func Gaps(stored map[string]StreamPosition, delivered []Delivered) (gaps []Gap, other string) {
	for _, d := range delivered {
		p, known := stored[d.Stream]
		isOther := known && d.isOther(p)
		if isOther && other == "" {
			other = d.Stream
		}
		g := Gap{Stream: d.Stream, Created: d.Created, First: p.Sequence + 1, Acknowledged: d.Acknowledged}
		if isOther {
			g.First = 1
		}
		if d.Begun {
			g.Last = d.To
		}
		// The position in another stream is stored even if nothing was delivered from it.
		if isOther || g.Last >= g.First {
			gaps = append(gaps, g)
		}
	}
	return gaps, other
}
