package telemetry

import (
	"context"

	"go.opentelemetry.io/otel/trace"
)

type originKey struct{}

// StartTrace starts a trace of its own for a part of the work of ctx. Its first span links to the span of ctx, and
// nothing connects them otherwise. The part is sampled as if it began below origin: a caller that leaves a trace out
// leaves out its parts as well, and a caller's sampled trace has all of them.
func StartTrace(ctx context.Context, tracer trace.Tracer, name string, origin context.Context, //nolint:revive // origin is a value here
	options ...trace.SpanStartOption,
) (context.Context, trace.Span) {
	from := trace.SpanContextFromContext(ctx)
	options = append(options, trace.WithNewRoot())
	if from.IsValid() {
		options = append(options, trace.WithLinks(trace.Link{SpanContext: from}))
	}
	ctx = context.WithValue(ctx, originKey{}, trace.SpanContextFromContext(origin))
	ctx, span := tracer.Start(ctx, name, options...) //nolint:spancheck // the caller ends it
	// Spans below the part are sampled as the part is.
	return context.WithValue(ctx, originKey{}, nil), span //nolint:spancheck // as above
}

// originOf returns the span below which a new trace is sampled. It is not valid if ctx begins no such trace.
func originOf(ctx context.Context) trace.SpanContext {
	origin, _ := ctx.Value(originKey{}).(trace.SpanContext)
	return origin
}
