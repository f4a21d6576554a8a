package mesh

import (
	"context"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// read repeats a read until it is answered. Any replica of a stream may get the request, and one that hangs does not
// answer. Another attempt may reach another replica.
func read[T any](ctx context.Context, m *Mesh, once func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, electionTimeout)
	defer cancel()
	return repeat(ctx, m, func(ctx context.Context, _ int) (T, error) { return once(ctx) })
}

// idempotently repeats an idempotent operation until it is answered.
func idempotently(ctx context.Context, m *Mesh, once func(context.Context) error) error {
	_, err := read(ctx, m, func(ctx context.Context) (struct{}, error) { return struct{}{}, once(ctx) })
	return err
}

// lastOf returns the latest message of a subject.
func (m *Mesh) lastOf(ctx context.Context, stream jetstream.Stream, subject string) (*jetstream.RawStreamMsg, error) {
	msg, err := read(ctx, m, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
		return stream.GetLastMsgForSubject(ctx, subject)
	})
	if err != nil || !isStored(msg.Header) {
		return msg, err
	}
	// The client uses the first header of several, see answered.
	return storedMessage(&nats.Msg{Header: msg.Header, Data: msg.Data})
}

// entryOf returns the value of a key.
func (m *Mesh) entryOf(ctx context.Context, kv jetstream.KeyValue, key string) (jetstream.KeyValueEntry, error) {
	return read(ctx, m, func(ctx context.Context) (jetstream.KeyValueEntry, error) { return kv.Get(ctx, key) })
}

// infoOf returns the state of a stream, from its leader. It is not for lists of subjects, which are too expensive to
// repeat.
func (m *Mesh) infoOf(ctx context.Context, stream jetstream.Stream) (*jetstream.StreamInfo, error) {
	return read(ctx, m, func(ctx context.Context) (*jetstream.StreamInfo, error) {
		return stream.Info(ctx)
	})
}
