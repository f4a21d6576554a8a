package mesh

import (
	"context"
	"errors"
	"fmt"

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
	if err != nil || !stream.CachedInfo().Config.AllowDirect || !isStored(msg.Header) {
		return msg, err
	}
	// The answer to a direct get has the message's place in its headers, behind those of the message. The client uses
	// the first of several, see answered.
	return storedMessage(&nats.Msg{Header: msg.Header, Data: msg.Data})
}

// deleteMessage deletes a message. It is not an error if the message does not exist any more.
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

// infoOf returns the state of a stream, from its leader. It is not for lists of subjects, which are too expensive to
// repeat.
func (m *Mesh) infoOf(ctx context.Context, stream jetstream.Stream) (*jetstream.StreamInfo, error) {
	return read(ctx, m, func(ctx context.Context) (*jetstream.StreamInfo, error) {
		return stream.Info(ctx)
	})
}
