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

// VersionHeader carries the catalog version of a message, in decimal, beside its body.
const VersionHeader = "Driftless-Version"

// MaxBatch is how many messages JetStream takes in one atomic batch.
const MaxBatch = 1000

// batchBytes is how much of bodies goes into an atomic batch: the server buffers 128 MB of a stream's messages
// (max_buffered_size), and a batch of which it dropped some is refused as incomplete.
const batchBytes = 16 << 20

// batchRate is how many bytes of a batch a slow disk takes in a second.
const batchRate = 2 << 20

// headerRoom is left of a message's size for its headers.
const headerRoom = 4 << 10

// MaxBody is the largest body, in bytes, that the server takes in a message.
func (m *Mesh) MaxBody() int { return int(m.nc.MaxPayload()) - headerRoom }

// Outgoing is a message to publish.
type Outgoing struct {
	Subject string
	Body    proto.Message
	// ID deduplicates within the stream's window. Not for batches of PublishBatch: one duplicate rejects the
	// whole batch.
	ID string
	// Version of the catalog that the message is about; 0 for none.
	Version uint64
	// Ctx carries the trace that the message continues; nil means the caller's.
	Ctx context.Context //nolint:containedctx // a batch carries messages of many traces

	encoded []byte
}

// Encode encodes the body ahead of the publishing, which then sends what it is now, and returns its size in bytes.
func (o *Outgoing) Encode() (size int, err error) {
	if o.encoded, err = proto.Marshal(o.Body); err != nil {
		return 0, fmt.Errorf("encode message for %s: %w", o.Subject, err)
	}
	return len(o.encoded), nil
}

// PublishOption refines Publish.
type PublishOption func(*Outgoing)

// WithID sets the id by which JetStream recognises a message published twice within the stream's window.
func WithID(id string) PublishOption { return func(o *Outgoing) { o.ID = id } }

// WithVersion records the catalog version that the message is about.
func WithVersion(v uint64) PublishOption { return func(o *Outgoing) { o.Version = v } }

// Publish sends one message and returns when JetStream has stored it. The trace of ctx travels with it.
func (m *Mesh) Publish(ctx context.Context, subject string, body proto.Message, opts ...PublishOption) error {
	o := Outgoing{Subject: subject, Body: body}
	for _, opt := range opts {
		opt(&o)
	}
	if o.ID == "" {
		// Before the message is signed: attempts to store it are told apart from other messages by the id.
		o.ID = nuid.Next()
	}
	msg, span, err := m.outgoing(ctx, o)
	if err != nil {
		return err
	}
	defer span.End()
	duplicate, err := m.store(ctx, subject, msg)
	if err != nil {
		telemetry.Fail(span, err)
		return fmt.Errorf("publish on %s: %w", subject, err)
	}
	if duplicate {
		// Nobody will be given it.
		telemetry.Discard(span)
	}
	return nil
}

// store stores a message, in company where there is any, and says whether it was there already.
func (m *Mesh) store(ctx context.Context, subject string, msg *nats.Msg) (duplicate bool, err error) {
	if kind, _ := topology.SplitSubject(subject); kind == "sync" {
		s := m.committer(topology.StreamSync).put(ctx, msg)
		return s.duplicate, s.err
	}
	s := m.storeIn(ctx, topology.StreamOf(subject), msg, false)
	if s.err == nil {
		m.stored(subject, s.sequence)
	}
	return s.duplicate, s.err
}

// PublishBatch sends messages of one stream in order and returns when all are stored. They go as atomic batches
// of up to MaxBatch and 16 MiB: one write to disk each, however many messages. After an error the batches before
// the failing one are stored.
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

// publishBatch publishes as many of the first messages as one batch takes, if the stream is as the headers expect. The
// first message gets an id, so that a batch that was stored by an attempt without an answer is not stored again.
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
		if bytes >= batchBytes {
			break
		}
		msgCtx := o.Ctx
		if msgCtx == nil {
			msgCtx = ctx
		}
		if len(msgs) == 0 {
			// Before the message is signed, since the signature is about the id too.
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
	// What the first expects stands for all: they are stored together or not at all.
	maps.Copy(msgs[0].Header, expected)
	sequence, err := m.storeBatch(ctx, msgs, bytes)
	if err != nil {
		return 0, fmt.Errorf("publish %d messages on %s: %w", len(msgs), out[0].Subject, err)
	}
	if sequence > 0 {
		m.stored(out[0].Subject, sequence)
	}
	return len(msgs), nil
}

// stored takes note of what a stream has acknowledged.
func (m *Mesh) stored(subject string, sequence uint64) {
	if kind, _ := topology.SplitSubject(subject); kind == "catalog" {
		m.catalogEnd.Store(sequence)
	}
}

// storeBatch stores messages together. The first one has an id. It makes one attempt after the other: what a server
// that hangs was sent is lost, and its successor takes the next one. It returns the sequence of the last message, 0 if
// an earlier attempt was stored without an answer.
func (m *Mesh) storeBatch(ctx context.Context, msgs []*nats.Msg, bytes int) (sequence uint64, err error) {
	patience := batchPatience + time.Duration(bytes)*time.Second/batchRate
	for began := time.Now(); ; patience = min(patience*3/2, max(patience, longestBatch)) {
		sequence, err := m.tryBatch(ctx, msgs, patience)
		switch {
		case !m.unanswered(err), ctx.Err() != nil, time.Since(began) > max(electionPatience, patience):
			return sequence, err
		}
		select {
		case <-ctx.Done():
			return 0, err
		case <-time.After(repeatPause):
		}
	}
}

// longestBatch is how long an attempt to store a batch of little data waits for its answer at most.
const longestBatch = 5 * time.Second

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
	// Copies: the headers of a batch are of one attempt.
	attempt := make([]*nats.Msg, len(msgs))
	for i, msg := range msgs {
		attempt[i] = &nats.Msg{Subject: msg.Subject, Data: msg.Data, Header: maps.Clone(msg.Header)}
	}
	// The ack of the first message proves that the server takes batches; the commit's ack covers them all.
	ack, err := jetstreamext.PublishMsgBatch(ctx, m.js, attempt,
		jetstreamext.BatchFlowControl{AckFirst: true, AckTimeout: patience})
	api, refused := errors.AsType[*jetstream.APIError](err)
	if refused && api.ErrorCode == jetstreamext.JSErrCodeBatchPublishDuplicateMsgID {
		// An earlier attempt was stored, as a whole.
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
	ctx, span := startSend(ctx, &o)
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
