package mesh

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Stream reads and writes the stored messages of one stream, without a consumer. Package state builds its stores on it.
// The stream must allow direct get. In a cluster an answer may come from a replica that lags slightly. Safe for
// concurrent use.
type Stream struct {
	m    *Mesh
	name string
}

// Stream returns the access to the stored messages of a stream.
func (m *Mesh) Stream(name string) Stream { return Stream{m, name} }

// BucketStream returns the access to the stored messages of a bucket.
func (m *Mesh) BucketStream(bucket string) Stream { return Stream{m, "KV_" + bucket} }

// Last returns the latest message of a subject, or of a pattern. The error wraps jetstream.ErrMsgNotFound if there is
// none.
func (s Stream) Last(ctx context.Context, subject string) (*jetstream.RawStreamMsg, error) {
	bound, err := s.m.boundStream(ctx, s.name)
	if err != nil {
		return nil, err
	}
	return s.m.lastOf(ctx, bound, subject)
}

// Commit stores a message, if possible in one atomic batch with others of this process, and returns its sequence. Its
// headers may carry expectations. An error of the server is about this message alone. If ctx ends first, the message
// may still be stored, as with any publish.
func (s Stream) Commit(ctx context.Context, msg *nats.Msg) (sequence uint64, err error) {
	result := s.m.committer(s.name).put(ctx, msg)
	return result.sequence, result.err
}

// Store stores a message alone and returns its sequence. Its headers may carry expectations.
func (s Stream) Store(ctx context.Context, msg *nats.Msg) (sequence uint64, err error) {
	repeatable(msg)
	result := s.m.storeIn(ctx, s.name, msg, false)
	return result.sequence, result.err
}

// Presence reports whether the stream exists, and returns a channel that is closed when that changes. It returns true
// and nil for a stream that is not the stream of a bucket of Bind.
func (s Stream) Presence() (exists bool, changed <-chan struct{}) {
	return s.m.present(resource{stream: s.name})
}

// IsConflict reports whether JetStream refused to store a message because its subject has another latest message than
// the message expects.
func IsConflict(err error) bool { return isStaleSequence(err) || isSequencePending(err) }

// Entry returns the value of a key of a bucket. It asks again until it is answered.
func (m *Mesh) Entry(ctx context.Context, bucket, key string) (jetstream.KeyValueEntry, error) {
	kv, err := m.Bucket(ctx, bucket)
	if err != nil {
		return nil, err
	}
	return read(ctx, m, func(ctx context.Context) (jetstream.KeyValueEntry, error) { return kv.Get(ctx, key) })
}

// Bucket returns a bucket and caches it. Binding costs a round trip.
func (m *Mesh) Bucket(ctx context.Context, name string) (jetstream.KeyValue, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if kv, ok := m.buckets[name]; ok {
		return kv, nil
	}
	kv, err := m.js.KeyValue(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("bind bucket %s: %w", name, err)
	}
	m.buckets[name] = kv
	return kv, nil
}
