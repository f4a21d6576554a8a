package reconciliation

import (
	"context"
	"time"

	"go.opentelemetry.io/otel"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/driftless-sync/driftless/services/telemetry"
)

// traceWrite is the span of what a message changed in the ledger: one transaction.
func traceWrite(ctx context.Context, begun time.Time, err error) {
	_, span := otel.Tracer(scope).Start(ctx, "write ledger", trace.WithSpanKind(trace.SpanKindClient), trace.WithTimestamp(begun), trace.WithAttributes(
		semconv.DBSystemNamePostgreSQL, semconv.DBNamespace("driftless_ledger"), semconv.DBQuerySummary("write ledger")))
	telemetry.Fail(span, err)
	span.End()
}
