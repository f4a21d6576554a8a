package mesh

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/driftless-sync/driftless/services/internal/topology"
)

// maxReadsInFlight is how many requests of EachLast are in flight at a time. It is large enough to hide the round trip.
// It is small enough for the answers to fit into the server's buffer for a slow client (64 MB by default).
const maxReadsInFlight = 256

// readRetryInterval is how long EachLast waits for the next answer before it repeats all requests that are not
// answered.
const readRetryInterval = time.Second

// EachLast reads the latest message of each subject. The reads are pipelined. It calls do once for each subject, in any
// order, with the subject's index and message, nil if there is none.
func (s Stream) EachLast(ctx context.Context, subjects []string,
	do func(i int, msg *jetstream.RawStreamMsg) error,
) error {
	if len(subjects) == 0 {
		return nil
	}
	inbox := s.m.nc.NewInbox()
	sub, err := s.m.nc.SubscribeSync(inbox + ".*")
	if err != nil {
		return err
	}
	defer func() { _ = sub.Unsubscribe() }()
	// The window is the limit: if the client dropped an answer, it would wait for it until the timeout.
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return err
	}
	ask := func(i int) error {
		// Each subject has its own request: for a list of subjects the server searches its whole store.
		subject := "$JS.API.DIRECT.GET." + s.name + "." + subjects[i]
		return s.m.nc.PublishMsg(&nats.Msg{Subject: subject, Reply: inbox + "." + strconv.Itoa(i)})
	}
	// waiting has the requests that are not answered.
	waiting := map[int]bool{}
	heard := time.Now()
	for next := 0; next < len(subjects) || len(waiting) > 0; {
		for ; next < len(subjects) && len(waiting) < maxReadsInFlight; next++ {
			if err := ask(next); err != nil {
				return err
			}
			waiting[next] = true
		}
		i, msg, err := nextAnswer(ctx, sub)
		switch {
		case errors.Is(err, nats.ErrNoResponders):
			// This differs from a stream without such a message.
			return fmt.Errorf("stream %s does not exist, or no server has it now: %w", s.name, err)
		case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil && time.Since(heard) < electionTimeout:
			// The replica that was asked may hang; the next request may reach another one.
			for i := range waiting {
				if err := ask(i); err != nil {
					return err
				}
			}
			continue
		case err != nil:
			return err
		case !waiting[i]:
			continue // the second answer
		}
		heard = time.Now()
		delete(waiting, i)
		stored, err := storedAnswer(msg)
		if err != nil {
			return err
		}
		if err := do(i, stored); err != nil {
			return err
		}
	}
	return nil
}

// nextAnswer waits for the next answer, and returns the index of its request.
func nextAnswer(ctx context.Context, sub *nats.Subscription) (int, *nats.Msg, error) {
	msg, err := nextWithin(ctx, sub, readRetryInterval)
	if err != nil {
		return 0, nil, err
	}
	i, err := strconv.Atoi(topology.LastToken(msg.Subject))
	if err != nil {
		return 0, nil, fmt.Errorf("unexpected answer on %s", msg.Subject)
	}
	return i, msg, nil
}

// storedAnswer returns the message of an answer to a direct get, nil if there is none.
func storedAnswer(msg *nats.Msg) (*jetstream.RawStreamMsg, error) {
	if isStored(msg.Header) {
		return storedMessage(msg)
	}
	switch status := msg.Header.Get("Status"); status {
	case "404":
		return nil, nil //nolint:nilnil // nil is the answer
	default:
		return nil, fmt.Errorf("JetStream: %s %s", status, msg.Header.Get("Description"))
	}
}

// sequenceOf returns the sequence of an answer to a direct get.
func sequenceOf(msg *nats.Msg) (uint64, error) {
	sequence, err := strconv.ParseUint(answered(msg.Header, jetstream.SequenceHeader), 10, 64)
	if err != nil {
		return 0, errors.New("the answer has no sequence")
	}
	return sequence, nil
}
