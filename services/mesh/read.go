package mesh

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// readAttempt is how long one attempt to read waits for its answer. Any replica of a stream may be asked, and one that
	// hangs answers nothing: the next attempt asks another one.
	readAttempt = 1500 * time.Millisecond
	// readPatience is how long a read waits for an answer in all.
	readPatience = 10 * time.Second
)

// read reads by attempts.
func read[T any](ctx context.Context, once func(context.Context) (T, error)) (T, error) {
	for began := time.Now(); ; {
		attempt, cancel := context.WithTimeout(ctx, readAttempt)
		value, err := once(attempt)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil || time.Since(began) > readPatience {
			return value, err
		}
	}
}

// lastOf returns the latest message of a subject.
func lastOf(ctx context.Context, stream jetstream.Stream, subject string) (*jetstream.RawStreamMsg, error) {
	msg, err := read(ctx, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
		return stream.GetLastMsgForSubject(ctx, subject)
	})
	if err != nil || !isStored(msg.Header) {
		return msg, err
	}
	// The client takes the first of several, see answered.
	return storedMessage(&nats.Msg{Header: msg.Header, Data: msg.Data})
}

// entryOf returns the value of a key.
func entryOf(ctx context.Context, kv jetstream.KeyValue, key string) (jetstream.KeyValueEntry, error) {
	return read(ctx, func(ctx context.Context) (jetstream.KeyValueEntry, error) { return kv.Get(ctx, key) })
}
