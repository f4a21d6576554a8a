package mesh

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"github.com/driftless-sync/driftless/services/internal/topology"
)

// cloudEventsType is the content type of a CloudEvent in structured mode, by the NATS protocol binding of CloudEvents.
const cloudEventsType = "application/cloudevents+json"

// Event is a CloudEvent for other programs.
type Event struct {
	// Subject is a subject of EVENTS.
	Subject string
	// ID is the event's id. JetStream drops a second event with the same id within the stream's window.
	ID string
	// Body is the event as JSON.
	Body []byte
}

// PublishEvents stores events in their order, as far as it can, and returns how many of them are stored. They go as
// atomic batches with one write to disk each. An event that was published before counts as stored. So a caller that
// died repeats its call.
func (m *Mesh) PublishEvents(ctx context.Context, events []Event) (n int, err error) {
	for n < len(events) {
		group := events[n:nextEvents(events, n)]
		if m.storeEvents(ctx, group) {
			n += len(group)
			continue
		}
		// A batch with one event that is stored already is refused as a whole.
		for _, e := range group {
			if s := m.storeIn(ctx, topology.StreamEvents, eventMessage(e), true); s.err != nil {
				return n, fmt.Errorf("publish event %s on %s: %w", e.ID, e.Subject, s.err)
			}
			n++
		}
	}
	return n, nil
}

// nextEvents returns the end of the batch that begins at an index.
func nextEvents(events []Event, from int) (to int) {
	bytes := 0
	for to = from; to < len(events) && to-from < MaxBatch && bytes < maxBatchBytes; to++ {
		bytes += len(events[to].Body)
	}
	return to
}

// storeEvents stores events as one atomic batch, and reports whether that succeeded. If it returns false, the batch may
// have been stored without an answer.
func (m *Mesh) storeEvents(ctx context.Context, group []Event) bool {
	if len(group) < minAtomicBatch {
		return false
	}
	msgs := make([]*nats.Msg, len(group))
	for i, e := range group {
		msgs[i] = eventMessage(e)
	}
	ctx, cancel := context.WithTimeout(ctx, maxBatchTimeout)
	defer cancel()
	_, err := jetstreamext.PublishMsgBatch(ctx, m.js, msgs, jetstreamext.BatchFlowControl{})
	return err == nil
}

func eventMessage(e Event) *nats.Msg {
	return &nats.Msg{Subject: e.Subject, Data: e.Body, Header: nats.Header{
		jetstream.MsgIDHeader: []string{e.ID},
		"Content-Type":        []string{cloudEventsType},
	}}
}

// IsUnavailable reports whether NATS does not have a stream for a message, because the topology of an earlier version
// is applied.
func IsUnavailable(err error) bool {
	return errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, nats.ErrNoResponders)
}
