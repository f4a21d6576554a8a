package mesh

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

// writeHeader names one write, whatever the number of its attempts. By it a compare-and-set is recognized that lost
// against an earlier attempt of itself.
const writeHeader = "Driftless-Write"

// codeDuplicateInFlight: a message with the same id is stored already and not yet applied, in a replicated stream.
const codeDuplicateInFlight jetstream.ErrorCode = 10158

// repeatable gives a message what lets attempts to store it be told apart from other writes: JetStream drops the second
// of an id, and refuses the second of a compare-and-set.
func repeatable(msg *nats.Msg) {
	if msg.Header == nil {
		msg.Header = nats.Header{}
	}
	if msg.Header.Get(jetstream.ExpectedLastSubjSeqHeader) != "" {
		msg.Header.Set(writeHeader, nuid.Next())
	} else if msg.Header.Get(jetstream.MsgIDHeader) == "" {
		msg.Header.Set(jetstream.MsgIDHeader, nuid.Next())
	}
}

// storeIn stores a repeatable message in a stream; inDoubt if an earlier attempt may have stored it. In a cluster it
// waits for the election of a leader. It returns when the server has answered about this message.
func (m *Mesh) storeIn(ctx context.Context, stream string, msg *nats.Msg, inDoubt bool) stored {
	ctx, cancel := context.WithTimeout(ctx, electionPatience)
	defer cancel()
	s, err := repeat(ctx, m, func(ctx context.Context, attempt int) (stored, error) {
		ack, err := m.js.PublishMsg(ctx, msg)
		switch {
		case err == nil:
			// A later attempt meets the message of an earlier one.
			return stored{sequence: ack.Sequence, duplicate: ack.Duplicate && attempt == 1 && !inDoubt}, nil
		case inFlight(err):
			// Another write to the subject, maybe an earlier attempt, waits for the replicas.
			if attempt == 1 && !inDoubt {
				return stored{}, err
			}
			return stored{}, context.DeadlineExceeded
		case wrongSequence(err) && (attempt > 1 || inDoubt):
			return m.earlier(ctx, stream, msg, err)
		}
		return stored{}, err
	})
	s.err = err
	return s
}

// lastInRefusal finds the sequence in a refusal such as "wrong last sequence: 17".
var lastInRefusal = regexp.MustCompile(`wrong last sequence: (\d+)`)

// earlier returns the result of an earlier attempt to store a message, if that is what refused it; else the refusal.
func (m *Mesh) earlier(ctx context.Context, stream string, msg *nats.Msg, refusal error) (stored, error) {
	var at uint64
	if found := lastInRefusal.FindStringSubmatch(refusal.Error()); found != nil {
		at, _ = strconv.ParseUint(found[1], 10, 64)
	}
	s, err := m.stream(ctx, stream)
	if err != nil {
		return stored{}, err
	}
	for {
		last, err := m.lastOf(ctx, s, msg.Subject)
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound):
		case err != nil:
			return stored{}, fmt.Errorf("look whether a write was stored: %w", err)
		case last.Header.Get(writeHeader) == msg.Header.Get(writeHeader):
			return stored{sequence: last.Sequence}, nil
		case last.Sequence >= at:
			return stored{}, refusal
		}
		// A replica that lags may have answered. Without the sequence, its answer has to do.
		if at == 0 {
			return stored{}, refusal
		}
		select {
		case <-ctx.Done():
			return stored{}, context.Cause(ctx)
		case <-time.After(repeatPause):
		}
	}
}
