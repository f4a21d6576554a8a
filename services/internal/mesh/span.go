package mesh

import (
	"context"
	"net"
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

// system is the name of NATS. OpenTelemetry's conventions list none, and allow a name of one's own.
var system = semconv.MessagingSystemKey.String("nats")

// spanName returns the name of a span about a message, as the conventions want it: the operation, and the destination
// in its form with few values.
func spanName(operation, kind string) string {
	if template, ok := subjectTemplates[kind]; ok {
		return operation + " " + template
	}
	return operation + " " + kind
}

// destinationAttributes returns the attributes that spans of both sides have about a message's operation and
// destination.
func (m *Mesh) destinationAttributes(operation, subject string) []attribute.KeyValue {
	kind, _ := topology.SplitSubject(subject)
	out := []attribute.KeyValue{
		system, semconv.MessagingOperationName(operation), semconv.MessagingDestinationName(subject),
		semconv.MessagingDestinationTemplate(subjectTemplates[kind]),
	}
	host, port, err := net.SplitHostPort(m.nc.ConnectedAddr())
	if err != nil {
		return out
	}
	out = append(out, semconv.ServerAddress(host))
	if number, err := strconv.Atoi(port); err == nil {
		out = append(out, semconv.ServerPort(number))
	}
	return out
}

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
func (m *Mesh) startSend(ctx context.Context, o *Outgoing) (context.Context, trace.Span) {
	if o.withoutSpan {
		return ctx, trace.SpanFromContext(context.Background())
	}
	kind, _ := topology.SplitSubject(o.Subject)
	ctx, span := otel.Tracer(scope).Start(ctx, spanName("send", kind), trace.WithSpanKind(trace.SpanKindProducer))
	if span.IsRecording() {
		about := subjectAttributes(o.Subject)
		about.Version = o.Version
		telemetry.SetAbout(span, about)
		span.SetAttributes(m.destinationAttributes("send", o.Subject)...)
		span.SetAttributes(semconv.MessagingOperationTypeSend, semconv.MessagingMessageBodySize(len(o.encoded)))
		if o.ID != "" {
			span.SetAttributes(semconv.MessagingMessageID(o.ID))
		}
		if outcome := outcomeOf(o.Subject); outcome != "" {
			span.SetAttributes(telemetry.OutcomeKey.String(outcome))
		}
	}
	return ctx, span
}

// continueSend returns ctx in the trace of the span that sent a message, about the message's product.
func continueSend(ctx context.Context, raw jetstream.Msg) context.Context {
	about := subjectAttributes(raw.Subject())
	about.Version = headerVersion(raw.Headers())
	return telemetry.ContextAbout(telemetry.ExtractNATS(ctx, raw.Headers()), about)
}

// startProcess begins the span of a delivery at a time. Its parent is the span that sent the message.
func startProcess(ctx context.Context, m *Mesh, w Worker, raw jetstream.Msg, meta *jetstream.MsgMetadata,
	begun time.Time,
) (context.Context, trace.Span) {
	kind, _ := topology.SplitSubject(raw.Subject())
	ctx, span := otel.Tracer(scope).Start(continueSend(ctx, raw), spanName("process", kind),
		trace.WithSpanKind(trace.SpanKindConsumer), trace.WithTimestamp(begun))
	if !span.IsRecording() {
		return ctx, span
	}
	// The clock of the NATS server may be ahead of this host's.
	queued := max(begun.Sub(meta.Timestamp), 0)
	attributes := append(m.destinationAttributes("process", raw.Subject()),
		semconv.MessagingOperationTypeProcess,
		semconv.MessagingConsumerGroupName(w.Consumer.Durable(m.account)),
		semconv.MessagingMessageBodySize(len(raw.Data())),
		telemetry.NATSStreamKey.String(meta.Stream), telemetry.NATSSequenceKey.Int64(int64(meta.Sequence.Stream)),
		telemetry.AttemptKey.Int64(int64(meta.NumDelivered)),
		telemetry.QueueTimeKey.Float64(float64(queued.Microseconds())/1000))
	if id := raw.Headers().Get(jetstream.MsgIDHeader); id != "" {
		attributes = append(attributes, semconv.MessagingMessageID(id))
	}
	if outcome := outcomeOf(raw.Subject()); outcome != "" {
		attributes = append(attributes, telemetry.OutcomeKey.String(outcome))
	}
	span.SetAttributes(attributes...)
	return ctx, span
}
