package ingestion

import (
	"context"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/driftless-sync/driftless/services/ingestion/internal/wal"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
)

// maxCoalescedLinks is the maximum number of coalesced transactions that a capture links to, the latest ones.
const maxCoalescedLinks = 32

// captureSpan starts the transaction's span, in the trace of the application or a new one. It begins at the commit.
func (in *ingester) captureSpan(ctx context.Context, c *wal.Chunk, version uint64) (context.Context, trace.Span) {
	start := c.CommittedAt
	if start.After(time.Now()) {
		start = time.Now()
	}
	about := telemetry.About{Account: in.account, Version: version}
	if len(c.Products) == 1 {
		about.Product = c.Products[0].ID
	}
	ctx = telemetry.ContextAbout(telemetry.ContextWithTraceparent(ctx, c.Traceparent), about)
	ctx, span := otel.Tracer(tracerName).Start(ctx, "capture", trace.WithTimestamp(start)) //nolint:spancheck // store ends it
	span.SetAttributes(telemetry.ProductCountKey.Int(len(c.Products)),
		attribute.Int64("db.postgresql.xid", int64(c.Xid)))
	return ctx, span //nolint:spancheck // as above
}

// endSpans ends the spans of a batch's transactions, with the error that prevented their capture.
func (b *batch) endSpans(err error) {
	for _, span := range b.spans {
		telemetry.Fail(span, err)
		span.End()
	}
}

// traceRead adds a span to the trace of each transaction of a batch, with the time that its products took to read.
func traceRead(captures []context.Context, begun time.Time, err error) {
	ended := time.Now()
	for _, ctx := range captures {
		if !trace.SpanContextFromContext(ctx).IsSampled() {
			continue
		}
		_, span := otel.Tracer(tracerName).Start(ctx, "read products", trace.WithSpanKind(trace.SpanKindClient),
			trace.WithTimestamp(begun), trace.WithAttributes(
				semconv.DBSystemNamePostgreSQL, semconv.DBQuerySummary("read products")))
		telemetry.Fail(span, err)
		span.End(trace.WithTimestamp(ended))
	}
}

// linkCoalesced links the transactions of a batch that changed a product to the latest of them. The message of the
// latest one has the changes of all.
func (t *touchedProduct) linkCoalesced() {
	latest := trace.SpanFromContext(t.ctx)
	if !latest.IsRecording() {
		return
	}
	older := t.older
	for _, span := range older[max(len(older)-maxCoalescedLinks, 0):] {
		latest.AddLink(trace.Link{SpanContext: span.SpanContext()})
	}
	if len(older) > 0 {
		latest.SetAttributes(telemetry.CarriesKey.Int(len(older)))
	}
	for _, span := range older {
		markSuperseded(span, latest.SpanContext())
	}
}

func markSuperseded(span trace.Span, by trace.SpanContext) {
	span.AddLink(trace.Link{SpanContext: by})
	span.SetAttributes(telemetry.OutcomeKey.String(telemetry.OutcomeSuperseded),
		telemetry.CarriedByKey.String(by.TraceID().String()))
}
