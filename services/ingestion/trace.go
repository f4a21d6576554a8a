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

// mostCarried is how many coalesced transactions a capture links to: the newest ones.
const mostCarried = 32

// captureSpan is the transaction's part in the trace that the application began, or the beginning of one. It starts
// at the commit.
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

// endSpans ends the spans of a batch's transactions, with the error that kept them from being captured.
func (b *batch) endSpans(err error) {
	for _, span := range b.spans {
		telemetry.Fail(span, err)
		span.End()
	}
}

// traceRead tells each transaction of a batch how long its products were read.
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

// coalesce links the transactions of a batch that changed a product with the newest of them, whose message carries what
// all of them did.
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

// crowding is within which time CATALOG's limit for each product may push a state out before push has seen it.
const crowding = time.Minute

// crowd knows the last captures of each product, as many as CATALOG keeps. One that is pushed out by newer states may
// never be delivered: its trace is told which one carries it. Not safe for concurrent use.
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

// sweep forgets products that nothing was captured of lately.
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
