package mesh

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// read reads by attempts. Any replica of a stream may be asked, and one that hangs answers nothing: another attempt may
// ask another one.
func read[T any](ctx context.Context, m *Mesh, once func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, electionPatience)
	defer cancel()
	return repeat(ctx, m, func(ctx context.Context, _ int) (T, error) { return once(ctx) })
}

// idempotently carries out by attempts what may be carried out twice.
func idempotently(ctx context.Context, m *Mesh, once func(context.Context) error) error {
	_, err := read(ctx, m, func(ctx context.Context) (struct{}, error) { return struct{}{}, once(ctx) })
	return err
}

// lastOf returns the latest message of a subject.
func (m *Mesh) lastOf(ctx context.Context, stream jetstream.Stream, subject string) (*jetstream.RawStreamMsg, error) {
	msg, err := read(ctx, m, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
		return stream.GetLastMsgForSubject(ctx, subject)
	})
	if err != nil || !stream.CachedInfo().Config.AllowDirect || !isStored(msg.Header) {
		return msg, err
	}
	// An answer to a direct get has the message's place in its headers, behind those of the message. The client takes the first of several, see answered.
	return storedMessage(&nats.Msg{Header: msg.Header, Data: msg.Data})
}

// entryOf returns the value of a key.
func (m *Mesh) entryOf(ctx context.Context, kv jetstream.KeyValue, key string) (jetstream.KeyValueEntry, error) {
	return read(ctx, m, func(ctx context.Context) (jetstream.KeyValueEntry, error) { return kv.Get(ctx, key) })
}

// deleteMessage removes a message. It is not an error if it is gone already.
func (m *Mesh) deleteMessage(ctx context.Context, stream jetstream.Stream, sequence uint64) error {
	return idempotently(ctx, m, func(ctx context.Context) error {
		err := stream.DeleteMsg(ctx, sequence)
		switch {
		case err == nil, errors.Is(err, jetstream.ErrMsgNotFound):
			return nil
		case !errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful):
			return err
		}
		// The client passes the server's reason on as a text. An earlier attempt may have removed the message.
		if _, getErr := stream.GetMsg(ctx, sequence); errors.Is(getErr, jetstream.ErrMsgNotFound) {
			return nil
		}
		return fmt.Errorf("%w (%w)", err, context.DeadlineExceeded)
	})
}

// infoOf returns the state of a stream, which its leader tells. Not for lists of subjects: they are too dear to repeat.
func (m *Mesh) infoOf(ctx context.Context, stream jetstream.Stream) (*jetstream.StreamInfo, error) {
	return read(ctx, m, func(ctx context.Context) (*jetstream.StreamInfo, error) {
		return stream.Info(ctx)
	})
}
