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
	"github.com/driftless-sync/driftless/services/push/internal/plan"
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

// linkCarried links the pass of ctx to the changes that it applies besides its own: those after a version. A pass that
// a command started has a trace of its own, so it also ends the trace of the change that it completes: no push may
// receive that change again.
func (l *traceLinks) linkCarried(ctx context.Context, req plan.Request, after uint64) {
	change := req.Change
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
	if latest := others[len(others)-1]; req.Force && latest.Version == change.GetVersion() && latest.Sent.IsSampled() {
		completeChange(ctx, latest.Sent)
	}
}

// completeChange adds a span to the trace of a change: the pass of ctx, in another trace, has applied it.
func completeChange(ctx context.Context, sent trace.SpanContext) {
	pass := trace.SpanContextFromContext(ctx)
	_, span := startSpan(trace.ContextWithRemoteSpanContext(ctx, sent), "complete change")
	defer span.End()
	span.SetAttributes(telemetry.OutcomeKey.String(telemetry.OutcomeApplied))
	linkCarrier(span, pass)
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

// setOutcome sets the outcome of the span of ctx.
func setOutcome(ctx context.Context, outcome string) {
	trace.SpanFromContext(ctx).SetAttributes(telemetry.OutcomeKey.String(outcome))
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
