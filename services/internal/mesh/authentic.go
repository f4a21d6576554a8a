package mesh

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/driftless-sync/driftless/services/internal/topology"
)

// errRepublished means that the message is an answer to a direct get. A client named its subject as the reply subject,
// and the server does not check reply subjects against the client's permissions.
var errRepublished = errors.New("the server published it as an answer to a direct get " +
	"that a user without the permission to publish it requested")

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

// lastPublished returns the latest message of a subject, or of a pattern, that was not republished. The stream must
// allow direct get. It reads every message that the stream keeps, so callers use it only after lastOf returned a
// republished message.
func (m *Mesh) lastPublished(ctx context.Context, stream, subject string) (*jetstream.RawStreamMsg, error) {
	var last *jetstream.RawStreamMsg
	for from := uint64(1); ; {
		p, err := m.page(ctx, stream, pageRequest{from, subject, pageMessages, pageBytes})
		if err != nil {
			return nil, fmt.Errorf("read the latest message of %s that was not republished: %w", subject, err)
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

// lastChange is lastOf for CATALOG. It skips republished messages.
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
