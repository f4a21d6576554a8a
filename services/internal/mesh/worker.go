package mesh

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// shutdownGrace is how long active handlers may continue after Consume's context ends. A call to Stripe that is cut off
// would have an unknown outcome.
const shutdownGrace = 10 * time.Second

// Worker describes what Consume consumes and how.
type Worker struct {
	// Service is the name of the service. It is written to its dead letters.
	Service  string
	Consumer topology.Consumer
	// Concurrency is the maximum number of messages that are handled at once. Defaults to 1.
	Concurrency int
	// IsQuiet reports whether a delivery on a subject is bookkeeping: it has a span only if it fails. Its handler
	// continues the sender's span. Defaults to a span for every delivery.
	IsQuiet func(subject string) bool
}

// Message is a delivery.
type Message[M proto.Message] struct {
	Body    M
	Subject string
	Stream  string
	// Sequence in the stream.
	Sequence uint64
	// Attempt counts the deliveries of this message, from 1.
	Attempt     uint64
	Header      nats.Header
	PublishedAt time.Time
}

// Consume consumes until ctx ends. It continues each message's trace in a span, decodes the message, calls handle and
// applies the verdict. Meanwhile it prevents the redelivery of the message. A message that does not decode becomes a
// dead letter.
//
// It returns nil once ctx has ended and the active handlers have finished. It returns an error if the connection is
// closed for good. The context of handle outlives ctx by a grace period.
func Consume[T any, M interface {
	*T
	proto.Message
}](ctx context.Context, m *Mesh, w Worker, handle func(context.Context, Message[M]) Verdict) error {
	return consume(ctx, m, w, func(pulling, handling context.Context, _ jetstream.Consumer) error {
		return pull(pulling, handling, m, w, handle)
	})
}

// consume runs the worker's pulls until ctx ends or the connection is closed for good, and lets active handlers finish.
// While the consumer is deleted it waits.
func consume(ctx context.Context, m *Mesh, w Worker,
	pull func(pulling, handling context.Context, cons jetstream.Consumer) error,
) error {
	t := m.consumerResource(w.Consumer)
	cons, err := m.js.Consumer(ctx, t.stream, t.consumer)
	if ctx.Err() != nil {
		return nil //nolint:nilerr // the service was stopped while it started, which is no failure
	}
	if err != nil {
		return fmt.Errorf("bind %s: %w", t, err)
	}
	m.track(t, cons.CachedInfo().Created)
	for ctx.Err() == nil {
		there, changed := m.present(t)
		if there {
			err := consumeWhile(ctx, m, changed, w.Concurrency, func(pulling, handling context.Context) error {
				return pull(pulling, handling, cons)
			})
			switch {
			case isGone(err) && ctx.Err() == nil:
				m.markGone(t)
			case err != nil:
				return fmt.Errorf("consume %s of stream %s: %w", w.Consumer.Durable(m.account), w.Consumer.Stream, err)
			}
			if m.closing.Load() {
				return nil
			}
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-m.closed:
			return m.Closed(ctx)
		case <-changed:
		}
	}
	return nil
}

// consumeWhile runs pulls until one fails, ctx ends or changed is closed.
func consumeWhile(ctx context.Context, m *Mesh, changed <-chan struct{}, concurrency int,
	pull func(pulling, handling context.Context) error,
) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	g, pulling := errgroup.WithContext(ctx)
	handling, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(pulling, func() { time.AfterFunc(shutdownGrace, cancel) })
	defer stop()
	g.Go(func() error {
		err := m.Closed(pulling)
		// A connection that was closed on purpose must end the pulls: nothing else would wake them.
		end()
		return err
	})
	g.Go(func() error {
		select {
		case <-changed:
			end()
		case <-pulling.Done():
		}
		return nil
	})
	for range max(concurrency, 1) {
		g.Go(func() error { return pull(pulling, handling) })
	}
	return g.Wait()
}

// pull handles one message after another. It requests the next one only when it can handle it at once. The ack wait of
// a message that is fetched ahead would run out behind a slow one, and it would be handled twice.
func pull[T any, M interface {
	*T
	proto.Message
}](pulling, handling context.Context, m *Mesh, w Worker, handle func(context.Context, Message[M]) Verdict) error {
	p := m.puller(w.Consumer)
	defer p.drop()
	for {
		raw, err := p.next(pulling)
		switch {
		case errors.Is(err, nats.ErrConnectionClosed), pulling.Err() != nil && err != nil:
			// consume reports a connection that was closed.
			return nil
		case err != nil:
			return err
		case pulling.Err() != nil:
			_ = raw.Nak()
			return nil
		}
		handleOne(handling, m, w, raw, handle)
	}
}

func handleOne[T any, M interface {
	*T
	proto.Message
}](ctx context.Context, m *Mesh, w Worker, raw jetstream.Msg, handle func(context.Context, Message[M]) Verdict) {
	d, ok := decode[T, M](ctx, m, w, raw)
	if !ok {
		return
	}
	defer func() { d.span.End() }()
	alive := keepAlive(raw)
	defer alive()
	if d.undecodable == nil {
		d.finish(m, w, handle(d.ctx, d.msg))
	} else {
		d.finish(m, w, Dead(d.undecodable))
	}
}

// delivery is a message that is being handled.
type delivery[M proto.Message] struct {
	ctx  context.Context //nolint:containedctx // that of the message's span
	span trace.Span
	// isQuiet reports whether the span is still to be started, if the delivery fails.
	isQuiet bool
	begun   time.Time
	raw     jetstream.Msg
	meta    *jetstream.MsgMetadata
	msg     Message[M]
	// undecodable is the dead letter of a message that does not decode; nil otherwise.
	undecodable *meshv1.DeadLetter
}

// decode begins the span of a message and decodes it. It returns false if the message is not for a handler, after it
// has acknowledged or refused it.
func decode[T any, M interface {
	*T
	proto.Message
}](ctx context.Context, m *Mesh, w Worker, raw jetstream.Msg) (d delivery[M], ok bool) {
	if op := raw.Headers().Get("KV-Operation"); op != "" {
		// The removal of a key has no state.
		_ = raw.Ack()
		return d, false
	}
	meta, err := raw.Metadata()
	if err != nil {
		m.logger.Error("message without JetStream metadata", "subject", raw.Subject(), "error", err)
		return d, false
	}
	if err := cmp.Or(checkRepublished(raw.Headers()),
		m.authentic(raw.Subject(), raw.Headers(), raw.Data(), meta.Timestamp)); err != nil {
		m.refuse(ctx, meta.Stream, raw, err)
		return d, false
	}
	d = delivery[M]{begun: time.Now(), raw: raw, meta: meta, msg: Message[M]{
		Body: M(new(T)), Subject: raw.Subject(), Stream: meta.Stream, Sequence: meta.Sequence.Stream,
		Attempt: meta.NumDelivered, Header: raw.Headers(), PublishedAt: meta.Timestamp,
	}}
	if d.isQuiet = w.IsQuiet != nil && w.IsQuiet(raw.Subject()); d.isQuiet {
		d.ctx = continueSend(ctx, raw)
		d.span = trace.SpanFromContext(d.ctx)
	} else {
		d.ctx, d.span = startProcess(ctx, m, w, raw, meta, d.begun)
	}
	if err := proto.Unmarshal(raw.Data(), d.msg.Body); err != nil {
		d.undecodable = &meshv1.DeadLetter{
			Account:   subjectAttributes(raw.Subject()).Account,
			ProductId: cmp.Or(topology.ParseToken(topology.LastToken(raw.Subject())), "unknown"),
			Reason:    topology.ReasonUndecodable,
			Message: fmt.Sprintf("the message on %s is not a %s: %v", raw.Subject(),
				d.msg.Body.ProtoReflect().Descriptor().FullName(), err),
		}
		return d, true
	}
	if err := m.checkSubject(raw.Subject(), d.msg.Body); err != nil {
		d.span.End()
		m.refuse(ctx, meta.Stream, raw, err)
		return d, false
	}
	return d, true
}

func (d *delivery[M]) finish(m *Mesh, w Worker, v Verdict) {
	if d.isQuiet && v.isFailure() {
		d.ctx, d.span = startProcess(d.ctx, m, w, d.raw, d.meta, d.begun)
	}
	applyVerdict(d.ctx, m, w, d.raw, d.meta, v)
	count(d.ctx, w.Consumer, d.meta.NumDelivered, v, d.begun)
}

// applyVerdict applies a verdict. If that fails, the message is redelivered: handlers are idempotent.
func applyVerdict(ctx context.Context, m *Mesh, w Worker, raw jetstream.Msg, meta *jetstream.MsgMetadata, v Verdict) {
	span := trace.SpanFromContext(ctx)
	var err error
	switch v.decision {
	case ack:
		err = raw.Ack()
	case retry:
		delay := v.delay
		if delay == 0 {
			delay = RetryDelay(meta.NumDelivered)
		}
		span.SetAttributes(telemetry.OutcomeKey.String(telemetry.OutcomeRetry),
			telemetry.RetryDelayKey.Int64(delay.Milliseconds()))
		if v.busy {
			telemetry.Discard(span)
		}
		if v.err != nil {
			telemetry.Fail(span, v.err)
			m.logger.WarnContext(ctx, "will try again", "subject", raw.Subject(), "attempt", meta.NumDelivered,
				"in", delay, "error", v.err)
		}
		err = raw.NakWithDelay(delay)
	case dead:
		letter := v.letter
		letter.Service = w.Service
		if letter.GetVersion() == 0 {
			// Without a usable header the letter is about no version.
			letter.Version, _ = strconv.ParseUint(raw.Headers().Get(VersionHeader), 10, 64)
		}
		letter.Stream, letter.Subject, letter.Sequence = meta.Stream, raw.Subject(), meta.Sequence.Stream
		letter.Attempts = uint32(min(meta.NumDelivered, 1<<31))
		letter.FirstAt, letter.LastAt = timestamppb.New(meta.Timestamp), timestamppb.Now()
		if letter.GetPayload() == nil {
			letter.Payload = raw.Data()
		}
		// The letter must be fitted before the span copies its texts. An exporter refuses texts that are not UTF-8,
		// together with the rest of the batch.
		m.fit(letter)
		telemetry.FailDead(span, letter.GetReason(), letter.GetMessage())
		if err = m.DeadLetter(ctx, letter); err == nil {
			err = raw.TermWithReason(letter.GetReason())
		} else {
			_ = raw.NakWithDelay(RetryDelay(meta.NumDelivered))
		}
	}
	if err != nil {
		m.logger.WarnContext(ctx, "could not acknowledge a message; it will be redelivered", "subject", raw.Subject(),
			"error", err)
	}
}

// keepAlive renews the messages' ack wait until the returned function is called.
func keepAlive(raw ...jetstream.Msg) (stop func()) {
	ticker := time.NewTicker(topology.AckWait / 3)
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-ticker.C:
				for _, r := range raw {
					_ = r.InProgress()
				}
			case <-done:
				return
			}
		}
	})
	return func() {
		ticker.Stop()
		close(done)
		wg.Wait()
	}
}
