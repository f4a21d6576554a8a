package ingestion

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/ingestion/internal/wal"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
)

// maxCoalescedLinks is the maximum number of coalesced transactions that a capture links to, the latest ones.
const maxCoalescedLinks = 32

// maxProductsPerTrace is the maximum number of products whose changes are followed in the trace of one transaction or
// command. A change makes about 30 spans, and a trace of thousands is slow to store, to query and to read.
const maxProductsPerTrace = 20

// captureSpan starts the transaction's span, in the trace of the application or a new one. It begins at the commit.
func (in *ingester) captureSpan(ctx context.Context, c *wal.Chunk, version uint64) (context.Context, trace.Span) {
	about := telemetry.About{Account: in.account, Version: version}
	if len(c.Products) == 1 {
		about.Product = c.Products[0].ID
	}
	ctx = telemetry.ContextAbout(telemetry.ContextWithTraceparent(ctx, c.Traceparent), about)
	ctx, span := otel.Tracer(tracerName).Start(ctx, "capture", trace.WithTimestamp(captureStart(c))) //nolint:spancheck // store ends it
	span.SetAttributes(telemetry.ProductCountKey.Int(len(c.Products)),
		telemetry.TransactionKey.Int64(int64(c.Xid)))
	return ctx, span //nolint:spancheck // as above
}

// captureStart returns the time of the commit. The clock of the database may be ahead of this host's.
func captureStart(c *wal.Chunk) time.Time {
	if now := time.Now(); c.CommittedAt.After(now) {
		return now
	}
	return c.CommittedAt
}

// productTraces returns the trace of each product of a chunk. If the products are few, it is the transaction's.
// Otherwise each product gets a trace of its own, linked to the transaction's span.
func (in *ingester) productTraces(transaction context.Context, b *batch, c *wal.Chunk,
	touched []wal.TouchedProduct,
) func(id string) context.Context {
	if len(touched) <= maxProductsPerTrace {
		return func(string) context.Context { return transaction }
	}
	application := telemetry.ContextWithTraceparent(context.WithoutCancel(transaction), c.Traceparent)
	if c.Traceparent == "" {
		application = context.Background()
	}
	traces := map[string]context.Context{}
	return func(id string) context.Context {
		if ctx, ok := traces[id]; ok {
			return ctx
		}
		ctx := telemetry.ContextAbout(transaction, telemetry.About{
			Account: in.account,
			Product: id,
			Version: b.last.version,
		})
		ctx, span := telemetry.StartTrace(ctx, otel.Tracer(tracerName), "capture", application,
			trace.WithTimestamp(captureStart(c)))
		span.SetAttributes(telemetry.TransactionKey.Int64(int64(c.Xid)))
		b.productSpans = append(b.productSpans, span)
		traces[id] = ctx //nolint:fatcontext // each product has its own
		return ctx
	}
}

// separateTraces gives products that a command has read traces of their own, linked to the command's, if they are too
// many for that one.
func (c *comparison) separateTraces(ctx context.Context, out []mesh.Outgoing, dead []deadProduct) {
	if c.traced += len(out) + len(dead); c.traced <= maxProductsPerTrace || telemetry.TraceID(ctx) == "" {
		return
	}
	begin := func(product string, version uint64) context.Context {
		about := telemetry.ContextAbout(ctx, telemetry.About{Account: c.in.account, Product: product, Version: version})
		about, span := telemetry.StartTrace(about, otel.Tracer(tracerName), "reread product", ctx)
		span.End()
		return about
	}
	for i, o := range out {
		if change, ok := o.Body.(*catalogv1.ProductChange); ok {
			out[i].Ctx = begin(change.GetProductId(), o.Version) //nolint:fatcontext // as above
		}
	}
	for i, d := range dead {
		dead[i].ctx = begin(d.letter.GetProductId(), d.letter.GetVersion()) //nolint:fatcontext // as above
	}
}

// refuse stores the dead letter of a product that does not go to CATALOG. Its trace says so as an error.
func (in *ingester) refuse(d deadProduct) error {
	l := d.letter
	// An exporter refuses texts that are not UTF-8, together with the rest of the batch.
	mesh.FitLetter(l, in.mesh.MaxBody())
	ctx := telemetry.ContextAbout(d.ctx, telemetry.About{
		Account: l.GetAccount(),
		Product: l.GetProductId(),
		Version: l.GetVersion(),
	})
	ctx, span := otel.Tracer(tracerName).Start(ctx, "refuse product")
	defer span.End()
	telemetry.FailDead(span, l.GetReason(), l.GetMessage())
	return in.mesh.DeadLetter(ctx, l)
}

// endSpans ends the spans of a batch's transactions, with the error that prevented their capture.
func (b *batch) endSpans(err error) {
	for _, span := range slices.Concat(b.productSpans, b.spans) {
		telemetry.Fail(span, err)
		span.End()
	}
}

// databaseAttributes describes a read of products from the catalog database.
func databaseAttributes(pool *pgxpool.Pool) []attribute.KeyValue {
	at := pool.Config().ConnConfig
	return []attribute.KeyValue{
		semconv.DBSystemNamePostgreSQL, semconv.DBQuerySummary("read products"), semconv.DBNamespace(at.Database),
		semconv.ServerAddress(at.Host), semconv.ServerPort(int(at.Port)),
	}
}

// traceRead adds a span to the trace of each transaction of a batch, with the time that its products took to read.
func (in *ingester) traceRead(captures []context.Context, begun time.Time, err error) {
	ended := time.Now()
	for _, ctx := range captures {
		if !trace.SpanContextFromContext(ctx).IsSampled() {
			continue
		}
		_, span := otel.Tracer(tracerName).Start(ctx, "read products", trace.WithSpanKind(trace.SpanKindClient),
			trace.WithTimestamp(begun), trace.WithAttributes(in.readAttributes...))
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
