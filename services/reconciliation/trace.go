package reconciliation

import (
	"context"
	"time"

	"go.opentelemetry.io/otel"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/driftless-sync/driftless/services/internal/telemetry"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// traceWrite records the span of a message's write to the ledger, which shares its transaction with other messages.
func traceWrite(ctx context.Context, begun time.Time, messages int, err error) {
	_, span := otel.Tracer(tracerName).Start(ctx, "write ledger", trace.WithSpanKind(trace.SpanKindClient),
		trace.WithTimestamp(begun), trace.WithAttributes(
			semconv.DBSystemNamePostgreSQL, semconv.DBNamespace("driftless_ledger"),
			semconv.DBQuerySummary("write ledger")))
	if messages > 1 {
		span.SetAttributes(semconv.DBOperationBatchSize(messages))
	}
	telemetry.Fail(span, err)
	span.End()
}

// startDriftSpan starts the span of work on a product's drift. It is always sampled.
func (r *reconciler) startDriftSpan(ctx context.Context, name string, p *ledger.Product) (context.Context, trace.Span) {
	ctx = telemetry.ContextAbout(ctx, telemetry.About{
		Account: r.Account,
		Product: p.ID,
		Version: p.Desired.GetVersion(),
	})
	return otel.Tracer(tracerName).Start(ctx, name, trace.WithAttributes(telemetry.OutcomeKey.String(telemetry.OutcomeDrifted))) //nolint:spancheck // the caller ends it
}
