package push

import (
	"context"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/trace"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
)

// maxTraceLinks is the maximum number of superseded changes that a pass links to, the latest ones.
const maxTraceLinks = 32

// traceLinks connects the traces of coalesced changes: when one pass applies several edits, their traces and its own
// link to each other. It works only for sampled traces, and a failure never fails the pass.
type traceLinks struct {
	stores  *state.Stores
	account string
	// mutedUntil is the Unix-nanosecond deadline until which CATALOG's history is not read after one read failed.
	mutedUntil atomic.Int64
}

// muteDelay is how long CATALOG is not read for links after a read failed.
const muteDelay = time.Minute

func (l *traceLinks) history(ctx context.Context, product string) []state.Change {
	if time.Now().UnixNano() < l.mutedUntil.Load() {
		return nil
	}
	history, err := l.stores.Desired().History(ctx, l.account, product)
	if err != nil {
		l.mutedUntil.Store(time.Now().Add(muteDelay).UnixNano())
		trace.SpanFromContext(ctx).AddEvent("could not read the changes that this pass applies: " + err.Error())
	}
	return history
}

func isSampled(ctx context.Context) bool { return trace.SpanContextFromContext(ctx).IsSampled() }

// linkCarried links the pass of ctx to the changes that it applies besides its own: those after a version.
func (l *traceLinks) linkCarried(ctx context.Context, change *catalogv1.ProductChange, after uint64) {
	if !isSampled(ctx) || change.GetVersion() <= after {
		return
	}
	span := trace.SpanFromContext(ctx)
	var others []state.Change
	for _, c := range l.history(ctx, change.GetProductId()) {
		if c.Version > after && c.Version <= change.GetVersion() && c.Sent.TraceID() != span.SpanContext().TraceID() {
			others = append(others, c)
		}
	}
	if len(others) == 0 {
		return
	}
	span.SetAttributes(telemetry.CarriesKey.Int(len(others)))
	for _, c := range others[max(len(others)-maxTraceLinks, 0):] {
		span.AddLink(trace.Link{SpanContext: c.Sent})
	}
}

// linkSuperseding links the span of ctx to the latest change of the product, which replaces its own.
func (l *traceLinks) linkSuperseding(ctx context.Context, change *catalogv1.ProductChange) {
	span := trace.SpanFromContext(ctx)
	span.SetAttributes(telemetry.OutcomeKey.String(telemetry.OutcomeSuperseded))
	if !isSampled(ctx) {
		return
	}
	var latest state.Change
	for _, c := range l.history(ctx, change.GetProductId()) {
		if c.Version >= latest.Version {
			latest = c
		}
	}
	if latest.Version > change.GetVersion() {
		linkCarrier(span, latest.Sent)
	}
}

// linkApplier links the span of ctx to the pass that applied a version, if an intent of the product records it.
func linkApplier(ctx context.Context, observed *catalogv1.Observed, version uint64) {
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return
	}
	for _, intent := range observed.GetIntents() {
		by := trace.SpanContextFromContext(telemetry.ContextWithTraceparent(context.WithoutCancel(ctx),
			intent.GetTraceparent()))
		if intent.GetVersion() >= version && by.IsValid() && by.TraceID() != span.SpanContext().TraceID() {
			linkCarrier(span, by)
			return
		}
	}
}

func linkCarrier(span trace.Span, by trace.SpanContext) {
	span.AddLink(trace.Link{SpanContext: by})
	span.SetAttributes(telemetry.CarriedByKey.String(by.TraceID().String()))
}

func startSpan(ctx context.Context, name string) (context.Context, trace.Span) {
	return otel.Tracer(tracerName).Start(ctx, name) //nolint:spancheck // endSpan ends it
}

// endSpan ends a span with an error, or nil. A span with errBusy itself is discarded: the product was not touched.
func endSpan(span trace.Span, err error) {
	if err == errBusy { //nolint:errorlint // a wrapped one means that something was done
		telemetry.Discard(span)
	} else {
		telemetry.Fail(span, err)
	}
	span.End()
}
