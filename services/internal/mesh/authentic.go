package mesh

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// errRepublished means that the message is an answer to a direct get. A client named its subject as the reply subject,
// and the server does not check reply subjects against the client's permissions.
var errRepublished = errors.New("the server published it as an answer to a direct get " +
	"that a user without the permission to publish it requested")

// CheckRepublished returns an error if a stored message is an answer to a direct get that the server published again. h
// has the headers of the message as methods of Stream return it.
func CheckRepublished(h nats.Header) error { return checkRepublished(ownHeaders(h)) }

// checkRepublished returns an error if a stored message is an answer to a direct get. Such a message has headers that
// no publisher sets. h must be the message's own headers, see ownHeaders. Messages that the server published in another
// way, such as a consumer's delivery, are not detected.
func checkRepublished(h nats.Header) error {
	for _, name := range []string{jetstream.StreamHeader, jetstream.SubjectHeader, jetstream.SequenceHeader} {
		if len(h[name]) > 0 {
			return errRepublished
		}
	}
	return nil
}

// ownHeaders returns the headers of a stored message, given those of the answer to a direct get. The server appends its
// own headers to the message's.
func ownHeaders(answer nats.Header) nats.Header {
	own := make(nats.Header, len(answer))
	for name, values := range answer {
		switch name {
		case jetstream.StreamHeader, jetstream.SubjectHeader, jetstream.SequenceHeader:
			values = values[:len(values)-1]
		}
		if len(values) > 0 {
			own[name] = values
		}
	}
	return own
}

// LastPublished returns the latest message of a subject, or of a pattern, that was not republished. It reads every
// message that the stream keeps, so callers use it only after Last or EachLast returned a republished message. The
// error is jetstream.ErrMsgNotFound if there is none.
func (s Stream) LastPublished(ctx context.Context, subject string) (*jetstream.RawStreamMsg, error) {
	var last *jetstream.RawStreamMsg
	for from := uint64(1); ; {
		p, err := s.page(ctx, pageRequest{from, subject, pageMessages, pageBytes})
		if err != nil {
			return nil, fmt.Errorf("read the latest message of %s that was not republished: %w", subject, err)
		}
		for _, msg := range p.messages {
			from = msg.Sequence + 1
			if CheckRepublished(msg.Header) == nil {
				last = msg
			}
		}
		switch {
		case p.left > 0 && len(p.messages) > 0:
		case last == nil:
			return nil, jetstream.ErrMsgNotFound
		default:
			return last, nil
		}
	}
}
