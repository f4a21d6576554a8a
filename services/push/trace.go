package push

import (
	"context"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/trace"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
)

// mostCarried is how many superseded changes a pass links to: the newest ones.
const mostCarried = 32

// links ties the traces of changes together of which one carries the others: a burst of edits is one pass, and each of
// its traces tells where it went. Only for traces that are sampled, and never at the cost of the work.
type links struct {
	mesh    *mesh.Mesh
	account string
	// mute is until when, in Unix nanoseconds, nothing is read because it could not be.
	mute atomic.Int64
}

// muteFor is how long CATALOG is not read for links after it could not be.
const muteFor = time.Minute

func (l *links) history(ctx context.Context, product string) []mesh.Change {
	if time.Now().UnixNano() < l.mute.Load() {
		return nil
	}
	history, err := l.mesh.Desired().History(ctx, l.account, product)
	if err != nil {
		l.mute.Store(time.Now().Add(muteFor).UnixNano())
		trace.SpanFromContext(ctx).AddEvent("the changes that belong to this could not be read: " + err.Error())
	}
	return history
}

func sampled(ctx context.Context) bool { return trace.SpanContextFromContext(ctx).IsSampled() }

// carries links the pass of ctx to the changes that it made Stripe catch up with: those after a version.
func (l *links) carries(ctx context.Context, change *catalogv1.ProductChange, after uint64) {
	if !sampled(ctx) || change.GetVersion() <= after {
		return
	}
	span := trace.SpanFromContext(ctx)
	var others []mesh.Change
	for _, c := range l.history(ctx, change.GetProductId()) {
		if c.Version > after && c.Version <= change.GetVersion() && c.Sent.TraceID() != span.SpanContext().TraceID() {
			others = append(others, c)
		}
	}
	if len(others) == 0 {
		return
	}
	span.SetAttributes(telemetry.CarriesKey.Int(len(others)))
	for _, c := range others[max(len(others)-mostCarried, 0):] {
		span.AddLink(trace.Link{SpanContext: c.Sent})
	}
}

// superseded says of the span of ctx that the newest change of the product carries what it was about.
func (l *links) superseded(ctx context.Context, change *catalogv1.ProductChange) {
	span := trace.SpanFromContext(ctx)
	span.SetAttributes(telemetry.OutcomeKey.String(telemetry.OutcomeSuperseded))
	if !sampled(ctx) {
		return
	}
	var newest mesh.Change
	for _, c := range l.history(ctx, change.GetProductId()) {
		if c.Version >= newest.Version {
			newest = c
		}
	}
	if newest.Version > change.GetVersion() {
		carriedBy(span, newest.Sent)
	}
}

// appliedBy says of the span of ctx which pass has applied a version, if the product's calls tell.
func appliedBy(ctx context.Context, observed *catalogv1.Observed, version uint64) {
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return
	}
	for _, intent := range observed.GetIntents() {
		by := trace.SpanContextFromContext(telemetry.ContextWithTraceparent(context.WithoutCancel(ctx),
			intent.GetTraceparent()))
		if intent.GetVersion() >= version && by.IsValid() && by.TraceID() != span.SpanContext().TraceID() {
			carriedBy(span, by)
			return
		}
	}
}

func carriedBy(span trace.Span, by trace.SpanContext) {
	span.AddLink(trace.Link{SpanContext: by})
	span.SetAttributes(telemetry.CarriedByKey.String(by.TraceID().String()))
}

func startSpan(ctx context.Context, name string) (context.Context, trace.Span) {
	return otel.Tracer(scope).Start(ctx, name) //nolint:spancheck // endSpan ends it
}

// endSpan ends a span with the error of what it is about, nil for none. A product that another is at work on was not
// touched: that leaves no span.
func endSpan(span trace.Span, err error) {
	if err == errBusy { //nolint:errorlint // itself, and not what wraps it: then something was done
		telemetry.Discard(span)
	} else {
		telemetry.Fail(span, err)
	}
	span.End()
}
