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

// writeHeader identifies one write across its attempts. With it, a compare-and-set that lost against its own earlier
// attempt is recognized.
const writeHeader = "Driftless-Write"

// codeDuplicatePending means that a message with the same id is stored and not yet applied, in a replicated stream.
const codeDuplicatePending jetstream.ErrorCode = 10158

// repeatable gives a message the header that distinguishes attempts to store it from other writes. JetStream drops the
// second message with an id, and refuses the second compare-and-set.
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

// storeIn stores a repeatable message in a stream and returns when the server has answered. inDoubt means that an
// earlier attempt may have stored it. In a cluster it waits for the election of a leader.
func (m *Mesh) storeIn(ctx context.Context, stream string, msg *nats.Msg, inDoubt bool) stored {
	ctx, cancel := context.WithTimeout(ctx, electionTimeout)
	defer cancel()
	s, err := repeat(ctx, m, func(ctx context.Context, attempt int) (stored, error) {
		ack, err := m.js.PublishMsg(ctx, msg)
		switch {
		case err == nil:
			// A later attempt meets the message of an earlier one.
			return stored{sequence: ack.Sequence, duplicate: ack.Duplicate && attempt == 1 && !inDoubt}, nil
		case isSequencePending(err):
			// Another write to the subject, maybe an earlier attempt, waits for the replicas.
			if attempt == 1 && !inDoubt {
				return stored{}, err
			}
			return stored{}, context.DeadlineExceeded
		case isStaleSequence(err) && (attempt > 1 || inDoubt):
			return m.earlierResult(ctx, stream, msg, err)
		}
		return stored{}, err
	})
	s.err = err
	return s
}

// wrongSequencePattern finds the sequence in an error such as "wrong last sequence: 17".
var wrongSequencePattern = regexp.MustCompile(`wrong last sequence: (\d+)`)

// earlierResult returns the result of an earlier attempt to store the message, if that attempt caused the refusal.
// Otherwise it returns the refusal.
func (m *Mesh) earlierResult(ctx context.Context, stream string, msg *nats.Msg, refusal error) (stored, error) {
	var at uint64
	if found := wrongSequencePattern.FindStringSubmatch(refusal.Error()); found != nil {
		at, _ = strconv.ParseUint(found[1], 10, 64)
	}
	s, err := m.boundStream(ctx, stream)
	if err != nil {
		return stored{}, err
	}
	for {
		last, err := m.lastOf(ctx, s, msg.Subject)
		if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
			return stored{}, fmt.Errorf("check whether a write was stored: %w", err)
		}
		// A lagging replica may have answered, with nothing or with an earlier write. Without the sequence its answer
		// must be enough.
		isLatest := err == nil && last.Sequence >= at
		switch {
		case isLatest && last.Header.Get(writeHeader) == msg.Header.Get(writeHeader):
			return stored{sequence: last.Sequence}, nil
		case isLatest, at == 0:
			return stored{}, refusal
		}
		select {
		case <-ctx.Done():
			return stored{}, context.Cause(ctx)
		case <-time.After(repeatDelay):
		}
	}
}
