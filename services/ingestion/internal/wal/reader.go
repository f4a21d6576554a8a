package wal

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// StatusInterval is the time between two reports of the confirmed position to the server, if nothing else requires one.
const StatusInterval = time.Second

// ErrSlotInUse means that another process reads the slot.
var ErrSlotInUse = errors.New("the replication slot is in use by another process")

// ErrUnreadable means that the server cannot decode the log for this slot, or that its messages are malformed. It does
// not depend on the connection, and repeats at the same position.
var ErrUnreadable = errors.New("the write-ahead log cannot be read")

// isLogError reports whether an error of the server is about the log itself. Errors of the connection (class 08), of
// resources (53) and of an operator (57) are not.
func isLogError(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || len(pg.Code) != 5 {
		return false
	}
	switch pg.Code[:2] {
	case "08", "28", "53", "57":
		return false
	}
	return true
}

// Reader reads the log. Only one goroutine may call Read. Confirm is safe to call from another.
type Reader struct {
	conn      *pgconn.PgConn
	decoder   *decoder
	confirmed atomic.Uint64
	// readUpTo is the end of the log that was read last, whether or not it had changes.
	readUpTo atomic.Uint64
	// expected is a position beyond which nothing is confirmed until its transaction was met. It is 0 if there is none.
	expected atomic.Uint64
	// delivered is the end of the last chunk that was returned. The log beyond it, up to the position that the server
	// reports, has nothing for this slot.
	delivered    pglogrepl.LSN
	statusSentAt time.Time
}

// Open starts reading the log after a position, which is the slot's confirmed one.
func (s *Source) Open(ctx context.Context, from pglogrepl.LSN) (*Reader, error) {
	conn, err := s.connect(ctx)
	if err != nil {
		return nil, err
	}
	err = pglogrepl.StartReplication(ctx, conn, s.Slot, from, pglogrepl.StartReplicationOptions{PluginArgs: []string{
		"proto_version '1'", "publication_names '" + quoted(s.Publication) + "'", "messages 'true'",
	}})
	if err != nil {
		_ = conn.Close(context.WithoutCancel(ctx))
		var pg *pgconn.PgError
		if errors.As(err, &pg) && pg.Code == "55006" {
			return nil, fmt.Errorf("slot %s: %w: %s", s.Slot, ErrSlotInUse, pg.Message)
		}
		if isLogError(err) {
			return nil, fmt.Errorf("replication slot %s: %w: %w", s.Slot, ErrUnreadable, err)
		}
		return nil, fmt.Errorf("read replication slot %s: %w", s.Slot, err)
	}
	r := &Reader{conn: conn, decoder: newDecoder(s.Tables), delivered: from}
	r.confirmed.Store(uint64(from))
	return r, nil
}

// Close reports the confirmed position and closes the connection.
func (r *Reader) Close(ctx context.Context) error {
	// Report the position once more, so that captured transactions do not come again.
	_ = r.SendStatus(ctx)
	return r.conn.Close(ctx)
}

// Confirm lets the server drop the log up to a position, because everything in it is captured.
func (r *Reader) Confirm(lsn pglogrepl.LSN) {
	for {
		now := r.confirmed.Load()
		if uint64(lsn) <= now || r.confirmed.CompareAndSwap(now, uint64(lsn)) {
			return
		}
	}
}

// Expect prevents the confirmation of a log that continues without the transaction at a position. 0 expects none.
func (r *Reader) Expect(at pglogrepl.LSN) { r.expected.Store(uint64(at)) }

// Confirmed returns the position up to which everything is captured.
func (r *Reader) Confirmed() pglogrepl.LSN { return pglogrepl.LSN(r.confirmed.Load()) }

// EndOfLog returns the position up to which the server has read the log for this slot, as it last reported.
func (r *Reader) EndOfLog() pglogrepl.LSN { return pglogrepl.LSN(r.readUpTo.Load()) }

// Read returns the next chunk, or nil after at most 1 s without one.
func (r *Reader) Read(ctx context.Context) (*Chunk, error) {
	deadline := time.Now().Add(StatusInterval)
	for {
		if time.Since(r.statusSentAt) >= StatusInterval {
			if err := r.SendStatus(ctx); err != nil {
				return nil, err
			}
		}
		receiveCtx, cancel := context.WithDeadline(ctx, deadline)
		msg, err := r.conn.ReceiveMessage(receiveCtx)
		cancel()
		if err != nil {
			if pgconn.Timeout(err) && ctx.Err() == nil {
				return nil, nil
			}
			if isLogError(err) {
				return nil, fmt.Errorf("%w: %w", ErrUnreadable, err)
			}
			return nil, fmt.Errorf("read the write-ahead log: %w", err)
		}
		chunk, err := r.message(ctx, msg)
		if chunk != nil || err != nil {
			return chunk, err
		}
	}
}

func (r *Reader) message(ctx context.Context, msg pgproto3.BackendMessage) (*Chunk, error) {
	if e, ok := msg.(*pgproto3.ErrorResponse); ok {
		if err := error(pgconn.ErrorResponseToPgError(e)); isLogError(err) {
			return nil, fmt.Errorf("%w: %w", ErrUnreadable, err)
		}
		return nil, fmt.Errorf("read the write-ahead log: %w", pgconn.ErrorResponseToPgError(e))
	}
	data, ok := msg.(*pgproto3.CopyData)
	if !ok || len(data.Data) == 0 {
		return nil, nil
	}
	switch data.Data[0] {
	case pglogrepl.XLogDataByteID:
		x, err := pglogrepl.ParseXLogData(data.Data[1:])
		if err != nil {
			return nil, fmt.Errorf("read the write-ahead log: %w", err)
		}
		chunk, err := r.decoder.decode(x.WALData)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrUnreadable, err)
		}
		if chunk != nil && chunk.EndLSN > 0 {
			r.delivered = chunk.EndLSN
		}
		return chunk, err
	case pglogrepl.PrimaryKeepaliveMessageByteID:
		k, err := pglogrepl.ParsePrimaryKeepaliveMessage(data.Data[1:])
		if err != nil {
			return nil, fmt.Errorf("read the write-ahead log: %w", err)
		}
		r.readUpTo.Store(max(r.readUpTo.Load(), uint64(k.ServerWALEnd)))
		// The log continues with changes that are not for this slot. Without this, an idle catalog would make the
		// server keep its whole log.
		expected := pglogrepl.LSN(r.expected.Load())
		if r.decoder.open == nil && pglogrepl.LSN(r.confirmed.Load()) >= r.delivered &&
			(expected == 0 || k.ServerWALEnd < expected) {
			r.Confirm(k.ServerWALEnd)
			r.delivered = max(r.delivered, k.ServerWALEnd)
		}
		if k.ReplyRequested {
			return nil, r.SendStatus(ctx)
		}
	}
	return nil, nil
}

// SendStatus sends the confirmed position as a sign of life. The goroutine that calls Read uses it when it cannot read
// for a while. The server ends a connection that is silent for longer than wal_sender_timeout.
func (r *Reader) SendStatus(ctx context.Context) error {
	lsn := pglogrepl.LSN(r.confirmed.Load())
	if err := pglogrepl.SendStandbyStatusUpdate(ctx, r.conn, pglogrepl.StandbyStatusUpdate{
		WALWritePosition: lsn,
		// The answer has the position up to which the log has nothing for this slot.
		ReplyRequested: true,
	}); err != nil {
		return fmt.Errorf("confirm position %s: %w", lsn, err)
	}
	r.statusSentAt = time.Now()
	return nil
}
