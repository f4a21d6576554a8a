package mesh

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/driftless-sync/driftless/services/internal/topology"
)

// ConsumerStatus is the backlog of a durable consumer.
type ConsumerStatus struct {
	topology.Consumer
	// Pending messages have not been delivered yet.
	Pending uint64
	// InFlight messages are delivered and not acknowledged, including delayed redeliveries.
	InFlight uint64
	// Redelivered messages are among those in flight.
	Redelivered uint64
	// AckFloor is the stream's sequence up to which all of the consumer's messages are acknowledged.
	AckFloor uint64
	// Paused consumers deliver nothing.
	Paused bool
	// Waiting counts the open requests for a message; 0 if no process has capacity for one.
	Waiting int
	// Delivered counts the deliveries, including redeliveries.
	Delivered uint64
	// DeliveredTo is the stream's sequence up to which messages were delivered, or skipped because they are not the
	// consumer's.
	DeliveredTo uint64

	filter string
}

// Consumers returns the backlog of every consumer of the account, in the order of the topology.
func (m *Mesh) Consumers(ctx context.Context) ([]ConsumerStatus, error) {
	found := map[topology.Consumer]*jetstream.ConsumerInfo{}
	for _, name := range topology.ConsumedStreams() {
		stream, err := m.boundStream(ctx, name)
		if err != nil {
			return nil, err
		}
		infos, err := read(ctx, m, func(ctx context.Context) (infos []*jetstream.ConsumerInfo, err error) {
			list := stream.ListConsumers(ctx)
			for info := range list.Info() {
				infos = append(infos, info)
			}
			return infos, list.Err()
		})
		if err != nil {
			return nil, fmt.Errorf("list the consumers of stream %s: %w", name, err)
		}
		for _, info := range infos {
			found[topology.Consumer{Stream: name, Name: info.Name}] = info
		}
	}
	out := make([]ConsumerStatus, 0, len(topology.Consumers))
	for _, c := range topology.Consumers {
		info, ok := found[topology.Consumer{Stream: c.Stream, Name: c.Durable(m.account)}]
		if !ok {
			return nil, &notListedError{stream: c.Stream, consumer: c.Durable(m.account), account: m.account}
		}
		out = append(out, ConsumerStatus{
			Consumer: c.Consumer, Pending: info.NumPending,
			InFlight: uint64(max(info.NumAckPending, 0)), Redelivered: uint64(max(info.NumRedelivered, 0)),
			AckFloor: info.AckFloor.Stream, Paused: info.Paused, Waiting: info.NumWaiting,
			Delivered: info.Delivered.Consumer, DeliveredTo: info.Delivered.Stream,
			filter: info.Config.FilterSubject,
		})
	}
	return out, nil
}

// LastSequence returns the sequence of a stream's latest message.
func (m *Mesh) LastSequence(ctx context.Context, stream string) (uint64, error) {
	s, err := m.boundStream(ctx, stream)
	if err != nil {
		return 0, err
	}
	info, err := m.infoOf(ctx, s)
	if err != nil {
		return 0, fmt.Errorf("read the state of stream %s: %w", stream, err)
	}
	return info.State.LastSeq, nil
}

// StreamState is the extent of a stream.
type StreamState struct {
	Created time.Time
	// First is the sequence of the oldest message that the stream still has, and Last that of the latest one. First is
	// Last+1 if the stream is empty, or 0 if it never had a message.
	First, Last uint64
}

// StreamState returns the extent of a stream.
func (m *Mesh) StreamState(ctx context.Context, stream string) (StreamState, error) {
	s, err := m.boundStream(ctx, stream)
	if err != nil {
		return StreamState{}, err
	}
	info, err := m.infoOf(ctx, s)
	if err != nil {
		return StreamState{}, fmt.Errorf("read the state of stream %s: %w", stream, err)
	}
	return StreamState{Created: info.Created, First: info.State.FirstSeq, Last: info.State.LastSeq}, nil
}

// Oldest returns when the stream stored the consumer's oldest unacknowledged message; zero if there is none.
func (m *Mesh) Oldest(ctx context.Context, c ConsumerStatus) (time.Time, error) {
	_, stored, err := m.OldestMessage(ctx, c)
	return stored, err
}

// OldestMessage returns the sequence and the time of the consumer's oldest message that may be unacknowledged. Earlier
// messages are all acknowledged. It returns zeros if every message is acknowledged.
func (m *Mesh) OldestMessage(ctx context.Context, c ConsumerStatus) (sequence uint64, stored time.Time, err error) {
	if c.Pending+c.InFlight == 0 {
		return 0, time.Time{}, nil
	}
	return m.NextMessage(ctx, c)
}

// NextMessage returns the sequence and the time of the first message behind those that the consumer had acknowledged
// when its status was read, also if that message arrived later. It returns zeros if there is none.
func (m *Mesh) NextMessage(ctx context.Context, c ConsumerStatus) (sequence uint64, stored time.Time, err error) {
	stream, err := m.boundStream(ctx, c.Stream)
	if err != nil {
		return 0, time.Time{}, err
	}
	// Read the first message behind the floor that still exists. Others may have been replaced by later ones of their
	// subject.
	msg, err := read(ctx, m, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
		return stream.GetMsg(ctx, c.AckFloor+1, jetstream.WithGetMsgSubject(c.filter))
	})
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return 0, time.Time{}, nil
	case err != nil:
		return 0, time.Time{},
			fmt.Errorf("read the oldest message of consumer %s of stream %s: %w", c.Durable(m.account), c.Stream,
				err)
	}
	return msg.Sequence, msg.Time, nil
}

// StreamStatus is the size of a stream. Bytes counts what is stored on disk.
type StreamStatus struct {
	Name            string
	Messages, Bytes uint64
}

// Streams returns the size of streams and buckets, of all accounts together. The stream of events may be missing: the
// mesh works without it.
func (m *Mesh) Streams(ctx context.Context, names []string) ([]StreamStatus, error) {
	out := make([]StreamStatus, 0, len(names))
	for _, name := range names {
		stream, err := m.boundStream(ctx, name)
		if name == topology.StreamEvents && errors.Is(err, jetstream.ErrStreamNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		info, err := stream.Info(ctx)
		if name == topology.StreamEvents && errors.Is(err, jetstream.ErrStreamNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read stream %s: %w", name, err)
		}
		out = append(out, StreamStatus{name, info.State.Msgs, info.State.Bytes})
	}
	return out, nil
}
