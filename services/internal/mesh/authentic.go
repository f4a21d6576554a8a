package mesh

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/driftless-sync/driftless/services/internal/topology"
)

// errRepublished: the message is an answer to a direct get. Somebody named its subject as the one to reply to, and
// the server does not check that against what the user may publish.
var errRepublished = errors.New("the server published it as an answer to a direct get, " +
	"at the wish of a user who may not publish it")

// checkRepublished returns an error if a stored message is an answer to a direct get: that has headers which no
// publisher sets. The headers are those of the message alone, see ownHeaders. It does not find what another way of
// the server has published, such as a consumer's delivery.
func checkRepublished(h nats.Header) error {
	for _, name := range []string{jetstream.StreamHeader, jetstream.SubjectHeader, jetstream.SequenceHeader} {
		if len(h[name]) > 0 {
			return errRepublished
		}
	}
	return nil
}

// ownHeaders returns the headers of a stored message from those of the answer to a direct get: the server appends its
// own.
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

// lastPublished returns the latest message of a subject, or of all that a pattern fits, that was not republished. It
// is for streams with direct get where lastOf has found one that was: it reads all messages that are kept.
func (m *Mesh) lastPublished(ctx context.Context, stream, subject string) (*jetstream.RawStreamMsg, error) {
	var last *jetstream.RawStreamMsg
	for from := uint64(1); ; {
		p, err := m.page(ctx, stream, next{from, subject, pageMessages, pageBytes})
		if err != nil {
			return nil, fmt.Errorf("look for the latest message of %s that was not republished: %w", subject, err)
		}
		for _, msg := range p.messages {
			from = msg.Sequence + 1
			if checkRepublished(ownHeaders(msg.Header)) == nil {
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

// lastChange is lastOf for CATALOG: a message that was republished does not count.
func (m *Mesh) lastChange(
	ctx context.Context, stream jetstream.Stream, subject string,
) (*jetstream.RawStreamMsg, error) {
	msg, err := m.lastOf(ctx, stream, subject)
	if err != nil {
		return nil, err
	}
	if err := checkRepublished(ownHeaders(msg.Header)); err != nil {
		m.countRefusal(ctx, topology.StreamCatalog, msg.Subject, err)
		return m.lastPublished(ctx, topology.StreamCatalog, subject)
	}
	return msg, nil
}
