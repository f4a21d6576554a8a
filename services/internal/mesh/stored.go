package mesh

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"github.com/driftless-sync/driftless/services/internal/topology"
)

const (
	// rangePage is how many sequences of a stream without direct get are read at once.
	rangePage = 256
	// rangeReads is how many of them are requested at a time.
	rangeReads = 32
	// confirmDelay is how long a replica may lag behind. A shorter end of a stream is read again after it.
	confirmDelay = time.Second
)

// ErrNoState means that a stored message has nothing to decode: it removes a key, or is not authentic.
var ErrNoState = errors.New("the message has no state")

// Range returns stored messages of one of the account's consumers, from a sequence to another one, both included, and
// the sequence to continue from. It returns next > to at the end. Messages that the stream has no more are left out.
//
// It needs no right that the consumer does not need. From a stream without direct get it reads each message alone.
func (m *Mesh) Range(ctx context.Context, c topology.Consumer, from, to uint64) (
	messages []*jetstream.RawStreamMsg, next uint64, err error,
) {
	stream, err := m.boundStream(ctx, c.Stream)
	if err != nil {
		return nil, from, err
	}
	if stream.CachedInfo().Config.AllowDirect {
		return m.directRange(ctx, c, from, to)
	}
	return m.singleRange(ctx, stream, c, from, to)
}

// directRange reads a page by direct get.
func (m *Mesh) directRange(ctx context.Context, c topology.Consumer, from, to uint64) (
	messages []*jetstream.RawStreamMsg, next uint64, err error,
) {
	filter := topology.FilterOf(c, m.account)
	for confirmed := !m.clustered(); ; confirmed = true {
		page, left, err := m.Stream(c.Stream).Page(ctx, filter, from)
		if err != nil {
			return nil, from, fmt.Errorf("read stream %s again: %w", c.Stream, err)
		}
		for i, msg := range page {
			if msg.Sequence > to {
				return page[:i], to + 1, nil
			}
		}
		switch {
		case left > 0 && len(page) > 0:
			return page, page[len(page)-1].Sequence + 1, nil
		case left > 0:
			return nil, from, fmt.Errorf("read stream %s again: the server returned none of %d messages", c.Stream, left)
		case confirmed:
			return page, to + 1, nil
		}
		// The replica that answered may lag.
		select {
		case <-ctx.Done():
			return nil, from, context.Cause(ctx)
		case <-time.After(confirmDelay):
		}
	}
}

// singleRange reads each message from the stream's leader. Several requests are in flight.
func (m *Mesh) singleRange(ctx context.Context, stream jetstream.Stream, c topology.Consumer, from, to uint64) (
	messages []*jetstream.RawStreamMsg, next uint64, err error,
) {
	info, err := m.infoOf(ctx, stream)
	if err != nil {
		return nil, from, fmt.Errorf("read stream %s again: %w", c.Stream, err)
	}
	// Most of an old range may have expired.
	if from = max(from, info.State.FirstSeq); from > to {
		return nil, to + 1, nil
	}
	to = min(to, from+rangePage-1)
	found := make([]*jetstream.RawStreamMsg, to-from+1)
	g, reading := errgroup.WithContext(ctx)
	g.SetLimit(rangeReads)
	for i := range found {
		g.Go(func() error {
			msg, err := read(reading, m, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
				return stream.GetMsg(ctx, from+uint64(i))
			})
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				return nil
			}
			found[i] = msg
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, from, fmt.Errorf("read stream %s again: %w", c.Stream, err)
	}
	filter := topology.FilterOf(c, m.account)
	for _, msg := range found {
		if msg != nil && topology.Matches(filter, msg.Subject) {
			messages = append(messages, msg)
		}
	}
	return messages, to + 1, nil
}

// DecodeStored decodes a message that was read from a stream, with the checks that Consume makes. It returns ErrNoState
// for a message that a handler of Consume would not get, and another error for one that does not decode.
func DecodeStored[T any, M interface {
	*T
	proto.Message
}](m *Mesh, stream string, raw *jetstream.RawStreamMsg) (Message[M], error) {
	msg := Message[M]{
		Body:        M(new(T)),
		Subject:     raw.Subject,
		Stream:      stream,
		Sequence:    raw.Sequence,
		Header:      raw.Header,
		PublishedAt: raw.Time,
	}
	if raw.Header.Get("KV-Operation") != "" {
		return msg, ErrNoState
	}
	_, refused := m.Authenticate(raw.Subject, raw)
	if len(raw.Header[jetstream.StreamHeader]) > 0 {
		refused = cmp.Or(CheckRepublished(raw.Header), refused)
	}
	if refused != nil {
		return msg, fmt.Errorf("%w: %w", ErrNoState, refused)
	}
	if err := proto.Unmarshal(raw.Data, msg.Body); err != nil {
		return msg, fmt.Errorf("the message on %s is not a %s: %w", raw.Subject,
			msg.Body.ProtoReflect().Descriptor().FullName(), err)
	}
	if err := m.checkSubject(raw.Subject, msg.Body); err != nil {
		return msg, fmt.Errorf("%w: %w", ErrNoState, err)
	}
	return msg, nil
}

// StoredAt returns when a stream stored the message with a sequence, the zero time if it does not have that message.
func (m *Mesh) StoredAt(ctx context.Context, stream string, sequence uint64) (time.Time, error) {
	bound, err := m.boundStream(ctx, stream)
	if err != nil {
		return time.Time{}, err
	}
	msg, err := read(ctx, m, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
		return bound.GetMsg(ctx, sequence)
	})
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return time.Time{}, nil
	case err != nil:
		return time.Time{}, fmt.Errorf("read message %d of stream %s: %w", sequence, stream, err)
	}
	return msg.Time, nil
}
