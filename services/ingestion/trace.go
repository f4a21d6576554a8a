package ingestion

import (
	"context"
	"slices"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/driftless-sync/driftless/services/ingestion/internal/wal"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// mostCarried is the most coalesced transactions that a capture links to, the latest ones.
const mostCarried = 32

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
	ctx, span := otel.Tracer(scope).Start(ctx, "capture", trace.WithTimestamp(start)) //nolint:spancheck // store ends it
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
		_, span := otel.Tracer(scope).Start(ctx, "read products", trace.WithSpanKind(trace.SpanKindClient),
			trace.WithTimestamp(begun), trace.WithAttributes(
				semconv.DBSystemNamePostgreSQL, semconv.DBQuerySummary("read products")))
		telemetry.Fail(span, err)
		span.End(trace.WithTimestamp(ended))
	}
}

// coalesce links the transactions of a batch that changed a product to the latest of them. The message of the latest
// one has the changes of all.
func (t *touched) coalesce() {
	newest := trace.SpanFromContext(t.ctx)
	if !newest.IsRecording() {
		return
	}
	older := t.older
	for _, span := range older[max(len(older)-mostCarried, 0):] {
		newest.AddLink(trace.Link{SpanContext: span.SpanContext()})
	}
	if len(older) > 0 {
		newest.SetAttributes(telemetry.CarriesKey.Int(len(older)))
	}
	for _, span := range older {
		carriedBy(span, newest.SpanContext())
	}
}

func carriedBy(span trace.Span, by trace.SpanContext) {
	span.AddLink(trace.Link{SpanContext: by})
	span.SetAttributes(telemetry.OutcomeKey.String(telemetry.OutcomeSuperseded),
		telemetry.CarriedByKey.String(by.TraceID().String()))
}

// crowding is how long push may take to receive a state. A state that CATALOG's limit for each product evicts within
// this time may not have been delivered to push.
const crowding = time.Minute

// crowd keeps the last captures of each product, as many as CATALOG keeps. Later states may evict a state before it is
// delivered. The trace of an evicted state then links to the one that replaced it. Not safe for concurrent use.
type crowd struct {
	captures map[string][]captured
	swept    time.Time
}

type captured struct {
	sent trace.SpanContext
	at   time.Time
}

func newCrowd() *crowd { return &crowd{captures: map[string][]captured{}} }

// stored notes a message that was stored.
func (c *crowd) stored(product string, ctx context.Context) { //nolint:revive // the context is what is stored
	sent := trace.SpanContextFromContext(ctx)
	if !sent.IsSampled() {
		return
	}
	now := time.Now()
	c.sweep(now)
	kept := append(slices.Clip(c.captures[product]), captured{sent, now})
	if len(kept) > topology.MaxStatesPerProduct {
		out := kept[0]
		kept = kept[1:]
		if now.Sub(out.at) < crowding {
			pushedOut := trace.ContextWithRemoteSpanContext(ctx, out.sent)
			_, span := otel.Tracer(scope).Start(pushedOut, "leave catalog")
			carriedBy(span, sent)
			span.End()
		}
	}
	c.captures[product] = kept
}

// sweep drops products that were not captured lately.
func (c *crowd) sweep(now time.Time) {
	if now.Sub(c.swept) < crowding {
		return
	}
	c.swept = now
	for product, captures := range c.captures {
		if now.Sub(captures[len(captures)-1].at) > crowding {
			delete(c.captures, product)
		}
	}
}
