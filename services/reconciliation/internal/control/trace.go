package control

import (
	"context"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/trace"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
)

const tracerName = "github.com/driftless-sync/driftless/services/reconciliation"

// startReplaySpan starts the span of a replay, in the trace in which the letter died. It links to the request's trace.
func (c control) startReplaySpan(ctx context.Context, l *meshv1.DeadLetter) (context.Context, trace.Span) {
	request := trace.SpanContextFromContext(ctx)
	ctx = telemetry.ContextWithTraceparent(ctx, l.GetTraceparent())
	ctx = telemetry.ContextAbout(ctx, telemetry.About{
		Account: c.Account,
		Product: l.GetProductId(),
		Version: l.GetVersion(),
	})
	ctx, span := otel.Tracer(tracerName).Start(ctx, "replay dead letter", trace.WithAttributes(
		telemetry.OutcomeKey.String(telemetry.OutcomeReplayed), telemetry.DeadReasonKey.String(l.GetReason())))
	if request.IsValid() && request.TraceID() != span.SpanContext().TraceID() {
		span.AddLink(trace.Link{SpanContext: request})
	}
	return ctx, span
}
