package mesh

import (
	"context"
	"fmt"
)

// ConsumerStatus is the backlog of a durable consumer.
type ConsumerStatus struct {
	Consumer
	// Pending messages have not been delivered yet.
	Pending uint64
	// InFlight messages are delivered and not acknowledged, delayed redeliveries included.
	InFlight uint64
	// Redelivered messages are among those in flight.
	Redelivered uint64
	// AckFloor is the sequence of the stream up to which every message for the consumer is acknowledged.
	AckFloor uint64
}

// Consumers returns the backlog of every durable consumer of the mesh, in the order of the topology.
func (m *Mesh) Consumers(ctx context.Context) ([]ConsumerStatus, error) {
	out := make([]ConsumerStatus, 0, len(consumers))
	for _, c := range consumers {
		cons, err := m.js.Consumer(ctx, c.Stream, c.Name)
		if err != nil {
			return nil, fmt.Errorf("read consumer %s of stream %s: %w", c.Name, c.Stream, err)
		}
		info := cons.CachedInfo()
		out = append(out, ConsumerStatus{
			Consumer: c.Consumer, Pending: info.NumPending,
			InFlight: uint64(max(info.NumAckPending, 0)), Redelivered: uint64(max(info.NumRedelivered, 0)),
			AckFloor: info.AckFloor.Stream,
		})
	}
	return out, nil
}
