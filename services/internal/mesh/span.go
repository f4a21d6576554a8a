package mesh

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/driftless-sync/driftless/services/internal/telemetry"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

const scope = "github.com/driftless-sync/driftless/services/internal/mesh"

// minSpanWait is the shortest wait in a stream that gets its own span. A shorter one is only an attribute.
const minSpanWait = 5 * time.Millisecond

// system is the name of NATS. OpenTelemetry's conventions have none.
var system = semconv.MessagingSystemKey.String("nats")

// subjectTemplates are the subjects' templates, by their kind.
var subjectTemplates = map[string]string{
	"catalog":  "catalog.{account}.{lane}.{product}",
	"stripe":   "stripe.{account}.{product}",
	"sync":     "sync.{account}.{outcome}.{product}",
	"dead":     "dead.{service}.{account}.{product}",
	"command":  "command.{service}.{account}.{verb}.{product}",
	"retry":    "retry.{service}.{account}.{product}",
	"observed": "$KV." + topology.BucketObserved + ".{account}.{product}",
}

// outcomeOf returns the outcome of a message on SYNC, "" for any other message.
func outcomeOf(subject string) string {
	kind, rest := topology.SplitSubject(subject)
	if tokens := strings.Split(rest, "."); kind == "sync" && len(tokens) > 2 {
		return tokens[1]
	}
	return ""
}

// subjectAttributes returns the account and product that a subject names.
func subjectAttributes(subject string) telemetry.About {
	kind, rest := topology.SplitSubject(subject)
	tokens := strings.Split(rest, ".")
	about := telemetry.About{Account: subjectAccount(kind, tokens), Product: topology.ParseToken(tokens[len(tokens)-1])}
	if kind == "command" && len(tokens) < 4 {
		// A verb that concerns the whole account.
		about.Product = ""
	}
	return about
}

func subjectAccount(kind string, tokens []string) string {
	switch {
	case kind == "catalog" || kind == "stripe" || kind == "sync":
		return tokens[0]
	case kind == "observed":
		return tokens[1]
	case kind == "retry" && tokens[0] == "due" && len(tokens) > 2:
		return tokens[2]
	case len(tokens) > 1:
		return tokens[1]
	default:
		return ""
	}
}

func headerVersion(h nats.Header) uint64 {
	v, err := strconv.ParseUint(h.Get(VersionHeader), 10, 64)
	if err != nil {
		return 0
	}
	return v
}

// startSend begins the span of a publish. The returned context is sent with the message.
func startSend(ctx context.Context, o *Outgoing) (context.Context, trace.Span) {
	kind, _ := topology.SplitSubject(o.Subject)
	ctx, span := otel.Tracer(scope).Start(ctx, "send "+kind, trace.WithSpanKind(trace.SpanKindProducer))
	if span.IsRecording() {
		about := subjectAttributes(o.Subject)
		about.Version = o.Version
		telemetry.SetAbout(span, about)
		span.SetAttributes(system, semconv.MessagingOperationTypeSend, semconv.MessagingOperationName("send"),
			semconv.MessagingDestinationName(o.Subject), semconv.MessagingDestinationTemplate(subjectTemplates[kind]),
			semconv.MessagingMessageBodySize(len(o.encoded)))
		if o.ID != "" {
			span.SetAttributes(semconv.MessagingMessageID(o.ID))
		}
		if outcome := outcomeOf(o.Subject); outcome != "" {
			span.SetAttributes(telemetry.OutcomeKey.String(outcome))
		}
	}
	return ctx, span
}

// startProcess begins the span of a delivery. Its parent is the span that sent the message. If the message waited long
// in its stream, the wait gets its own span beside it.
func startProcess(ctx context.Context, m *Mesh, w Worker, raw jetstream.Msg,
	meta *jetstream.MsgMetadata,
) (context.Context, trace.Span) {
	now := time.Now()
	kind, _ := topology.SplitSubject(raw.Subject())
	ctx = telemetry.ExtractNATS(ctx, raw.Headers())
	about := subjectAttributes(raw.Subject())
	about.Version = headerVersion(raw.Headers())
	ctx = telemetry.ContextAbout(ctx, about)
	sent := ctx
	ctx, span := otel.Tracer(scope).Start(ctx, "process "+kind, trace.WithSpanKind(trace.SpanKindConsumer),
		trace.WithTimestamp(now))
	if !span.IsRecording() {
		return ctx, span
	}
	// The clock of the NATS server may be ahead of this host's.
	queued := max(now.Sub(meta.Timestamp), 0)
	attributes := []attribute.KeyValue{
		system, semconv.MessagingOperationTypeProcess, semconv.MessagingOperationName("process"),
		semconv.MessagingDestinationName(raw.Subject()), semconv.MessagingDestinationTemplate(subjectTemplates[kind]),
		semconv.MessagingConsumerGroupName(w.Consumer.Durable(m.account)),
		semconv.MessagingMessageBodySize(len(raw.Data())),
		telemetry.NATSStreamKey.String(meta.Stream), telemetry.NATSSequenceKey.Int64(int64(meta.Sequence.Stream)),
		telemetry.AttemptKey.Int64(int64(meta.NumDelivered)),
		telemetry.QueueTimeKey.Float64(float64(queued.Microseconds()) / 1000),
	}
	if id := raw.Headers().Get(jetstream.MsgIDHeader); id != "" {
		attributes = append(attributes, semconv.MessagingMessageID(id))
	}
	if outcome := outcomeOf(raw.Subject()); outcome != "" {
		attributes = append(attributes, telemetry.OutcomeKey.String(outcome))
	}
	span.SetAttributes(attributes...)
	if meta.NumDelivered == 1 && queued >= minSpanWait && span.SpanContext().IsSampled() {
		_, wait := otel.Tracer(scope).Start(sent, "queue "+kind, trace.WithTimestamp(meta.Timestamp),
			trace.WithAttributes(
				system, semconv.MessagingDestinationName(raw.Subject()),
				semconv.MessagingDestinationTemplate(subjectTemplates[kind]),
				semconv.MessagingConsumerGroupName(w.Consumer.Durable(m.account)),
				telemetry.NATSStreamKey.String(meta.Stream)))
		wait.End(trace.WithTimestamp(now))
	}
	return ctx, span
}
