package mesh

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
	"github.com/synadia-io/orbit.go/jetstreamext"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"

	"github.com/driftless-sync/driftless/services/internal/telemetry"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// VersionHeader has the catalog version of a message, in decimal.
const VersionHeader = "Driftless-Version"

// MaxBatch is the maximum number of messages in one atomic batch of JetStream.
const MaxBatch = 1000

// maxBatchBytes limits the bodies of an atomic batch. The server buffers 128 MB of a stream's messages
// (max_buffered_size). If it drops part of a batch, it refuses the batch as incomplete.
const maxBatchBytes = 16 << 20

// minBatchRate is how many bytes of a batch a slow disk stores per second.
const minBatchRate = 2 << 20

// reservedHeaderBytes is the part of a message's maximum size that is reserved for headers.
const reservedHeaderBytes = 4 << 10

// MaxBody returns the maximum size of a message's body, in bytes, that the server accepts.
func (m *Mesh) MaxBody() int { return int(m.nc.MaxPayload()) - reservedHeaderBytes }

// Outgoing is a message to publish.
type Outgoing struct {
	Subject string
	Body    proto.Message
	// ID deduplicates within the stream's window. It must be empty in batches of PublishBatch: one duplicate rejects
	// the whole batch.
	ID string
	// Version is the catalog version that the message is about; 0 for none.
	Version uint64
	// Ctx has the trace that the message continues. Defaults to the context of the call.
	Ctx context.Context //nolint:containedctx // a batch carries messages of many traces

	// withoutSpan is set for bookkeeping. The message continues the span of the context itself.
	withoutSpan bool
	encoded     []byte
}

// Encode encodes the body in advance and returns its size in bytes. Later changes of the body are not published.
func (o *Outgoing) Encode() (size int, err error) {
	if o.encoded, err = proto.Marshal(o.Body); err != nil {
		return 0, fmt.Errorf("encode message for %s: %w", o.Subject, err)
	}
	return len(o.encoded), nil
}

// PublishOption refines Publish.
type PublishOption func(*Outgoing)

// WithID sets the id with which JetStream detects a message that is published twice within the stream's window.
func WithID(id string) PublishOption { return func(o *Outgoing) { o.ID = id } }

// WithVersion sets the catalog version that the message is about.
func WithVersion(v uint64) PublishOption { return func(o *Outgoing) { o.Version = v } }

// WithoutSpan leaves out the span of the publish. It is for messages that only tell the ledger what the span of the
// context tells as well.
func WithoutSpan() PublishOption { return func(o *Outgoing) { o.withoutSpan = true } }

// Publish sends one message and returns when JetStream has stored it. The message continues the trace of ctx.
func (m *Mesh) Publish(ctx context.Context, subject string, body proto.Message, opts ...PublishOption) error {
	_, err := m.PublishOnce(ctx, subject, body, opts...)
	return err
}

// PublishOnce is Publish, and reports whether the message is new: whether the stream had no message with its id within
// its window for duplicates.
func (m *Mesh) PublishOnce(ctx context.Context, subject string, body proto.Message, opts ...PublishOption) (
	isNew bool, err error,
) {
	o := Outgoing{Subject: subject, Body: body}
	for _, opt := range opts {
		opt(&o)
	}
	if o.ID == "" {
		// The id must be set before the message is signed. It distinguishes attempts to store this message from other
		// messages.
		o.ID = nuid.Next()
	}
	msg, span, err := m.outgoing(ctx, o)
	if err != nil {
		return false, err
	}
	defer span.End()
	duplicate, err := m.store(ctx, subject, msg)
	if err != nil {
		telemetry.Fail(span, err)
		return false, fmt.Errorf("publish on %s: %w", subject, err)
	}
	if duplicate {
		// No consumer will receive it.
		telemetry.Discard(span)
	}
	return !duplicate, nil
}

// store stores a message, if possible with others in one batch, and reports whether it was already stored.
func (m *Mesh) store(ctx context.Context, subject string, msg *nats.Msg) (duplicate bool, err error) {
	if kind, _ := topology.SplitSubject(subject); kind == "sync" {
		s := m.committer(topology.StreamSync).put(ctx, msg)
		return s.duplicate, s.err
	}
	s := m.storeIn(ctx, topology.StreamOf(subject), msg, false)
	if s.err == nil {
		m.noteStored(subject, s.sequence)
	}
	return s.duplicate, s.err
}

// PublishBatch sends messages of one stream in order and returns when all are stored. They go as atomic batches of at
// most MaxBatch messages and 16 MiB, with one write to disk each. After an error the batches before the failed one are
// stored.
func (m *Mesh) PublishBatch(ctx context.Context, out []Outgoing) error {
	for len(out) > 0 {
		n, err := m.publishBatch(ctx, out, nats.Header{})
		if err != nil {
			return err
		}
		out = out[n:]
	}
	return nil
}

// publishBatch publishes as many of the first messages as fit into one batch, if the stream meets the expected headers.
// The first message gets an id. So a batch that was stored by an unanswered attempt is not stored again.
func (m *Mesh) publishBatch(ctx context.Context, out []Outgoing, expected nats.Header) (n int, err error) {
	out = out[:min(len(out), MaxBatch)]
	msgs := make([]*nats.Msg, 0, len(out))
	spans := make([]trace.Span, 0, len(out))
	bytes := 0
	defer func() {
		for _, s := range spans {
			telemetry.Fail(s, err)
			s.End()
		}
	}()
	for _, o := range out {
		if bytes >= maxBatchBytes {
			break
		}
		msgCtx := o.Ctx
		if msgCtx == nil {
			msgCtx = ctx
		}
		if len(msgs) == 0 {
			// The id must be set before the message is signed, since the signature covers it.
			o.ID = cmp.Or(expected.Get(jetstream.MsgIDHeader), o.ID, nuid.Next())
		}
		msg, span, err := m.outgoing(msgCtx, o)
		if err != nil {
			return 0, err
		}
		bytes += len(msg.Data)
		msgs = append(msgs, msg)
		spans = append(spans, span)
	}
	// The expectation of the first message applies to all: they are stored together or not at all.
	maps.Copy(msgs[0].Header, expected)
	sequence, err := m.storeBatch(ctx, msgs, bytes)
	if err != nil {
		return 0, fmt.Errorf("publish %d messages on %s: %w", len(msgs), out[0].Subject, err)
	}
	if sequence > 0 {
		m.noteStored(out[0].Subject, sequence)
	}
	return len(msgs), nil
}

// noteStored notes the sequence that a stream has acknowledged.
func (m *Mesh) noteStored(subject string, sequence uint64) {
	if kind, _ := topology.SplitSubject(subject); kind == "catalog" {
		m.catalogEnd.Store(sequence)
	}
}

// storeBatch stores messages together. The first one must have an id. It makes one attempt after another: a server that
// hangs loses its attempt, and its successor gets the next one. It returns the sequence of the last message, or 0 if an
// earlier attempt was stored without an answer.
func (m *Mesh) storeBatch(ctx context.Context, msgs []*nats.Msg, bytes int) (sequence uint64, err error) {
	patience := batchTimeout + time.Duration(bytes)*time.Second/minBatchRate
	for began := time.Now(); ; patience = min(patience*3/2, max(patience, maxBatchTimeout)) {
		sequence, err := m.tryBatch(ctx, msgs, patience)
		switch {
		case !m.isUnanswered(err), ctx.Err() != nil, time.Since(began) > max(electionTimeout, patience):
			return sequence, err
		}
		select {
		case <-ctx.Done():
			return 0, err
		case <-time.After(repeatDelay):
		}
	}
}

// maxBatchTimeout is the maximum time that an attempt to store a small batch waits for its answer.
const maxBatchTimeout = 5 * time.Second

func (m *Mesh) tryBatch(ctx context.Context, msgs []*nats.Msg, patience time.Duration) (sequence uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if len(msgs) == 1 {
		ack, err := m.js.PublishMsg(ctx, msgs[0])
		if err != nil {
			return 0, err
		}
		return ack.Sequence, nil
	}
	// Copy the messages: the headers of a batch belong to one attempt.
	attempt := make([]*nats.Msg, len(msgs))
	for i, msg := range msgs {
		attempt[i] = &nats.Msg{Subject: msg.Subject, Data: msg.Data, Header: maps.Clone(msg.Header)}
	}
	// The ack of the first message proves that the server supports batches. The ack of the commit covers all messages.
	ack, err := jetstreamext.PublishMsgBatch(ctx, m.js, attempt,
		jetstreamext.BatchFlowControl{AckFirst: true, AckTimeout: patience})
	api, refused := errors.AsType[*jetstream.APIError](err)
	if refused && api.ErrorCode == jetstreamext.JSErrCodeBatchPublishDuplicateMsgID {
		// An earlier attempt was stored as a whole.
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

func (m *Mesh) outgoing(ctx context.Context, o Outgoing) (*nats.Msg, trace.Span, error) {
	if o.encoded == nil {
		if _, err := o.Encode(); err != nil {
			return nil, nil, err
		}
	}
	ctx, span := m.startSend(ctx, &o)
	msg := &nats.Msg{Subject: o.Subject, Data: o.encoded, Header: nats.Header{}}
	if o.ID != "" {
		msg.Header.Set(jetstream.MsgIDHeader, o.ID)
	}
	if o.Version != 0 {
		msg.Header.Set(VersionHeader, strconv.FormatUint(o.Version, 10))
	}
	if err := m.sign(ctx, msg); err != nil {
		telemetry.Fail(span, err)
		span.End()
		return nil, nil, err
	}
	telemetry.InjectNATS(ctx, msg.Header)
	return msg, span, nil
}
