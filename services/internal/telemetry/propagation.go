package telemetry

import (
	"context"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// traceContext is the format in which traces are propagated: W3C Trace Context.
var traceContext = propagation.TraceContext{}

// natsCarrier keeps the case of header names: NATS headers are case-sensitive, and W3C's names are lower case.
type natsCarrier nats.Header

func (c natsCarrier) Get(key string) string { return nats.Header(c).Get(key) }
func (c natsCarrier) Set(key, value string) { nats.Header(c).Set(key, value) }

func (c natsCarrier) Keys() []string {
	keys := make([]string, 0, len(c))
	for k := range c {
		keys = append(keys, k)
	}
	return keys
}

// InjectNATS writes the trace of ctx into a message's headers.
func InjectNATS(ctx context.Context, h nats.Header) { traceContext.Inject(ctx, natsCarrier(h)) }

// ExtractNATS returns ctx with the trace of a message's headers as its remote parent; ctx itself if they have none.
func ExtractNATS(ctx context.Context, h nats.Header) context.Context {
	return traceContext.Extract(ctx, natsCarrier(h))
}

const traceparentKey = "traceparent"

// Traceparent returns the trace of ctx as a W3C traceparent, "" if there is none.
func Traceparent(ctx context.Context) string {
	carrier := propagation.MapCarrier{}
	traceContext.Inject(ctx, carrier)
	return carrier[traceparentKey]
}

// ContextWithTraceparent returns ctx with a W3C traceparent as its remote parent. It returns ctx itself if the
// traceparent is empty or malformed: applications may write anything.
func ContextWithTraceparent(ctx context.Context, traceparent string) context.Context {
	return traceContext.Extract(ctx, propagation.MapCarrier{traceparentKey: traceparent})
}

// TraceID returns the id of the trace of ctx in hexadecimal, "" if there is none.
func TraceID(ctx context.Context) string {
	if s := trace.SpanContextFromContext(ctx); s.IsValid() {
		return s.TraceID().String()
	}
	return ""
}
