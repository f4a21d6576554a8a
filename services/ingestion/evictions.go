package ingestion

import (
	"context"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/trace"

	"github.com/driftless-sync/driftless/services/internal/topology"
)

// evictionWindow is how long push may take to receive a state. A state that CATALOG's limit for each product evicts
// within this time may not have been delivered to push.
const evictionWindow = time.Minute

// evictions keeps the latest captures of each subject, as many as CATALOG keeps. Later states may evict a state before
// it is delivered. The trace of an evicted state then links to the one that replaced it. Not safe for concurrent use.
type evictions struct {
	captures map[string][]storedCapture
	// droppedAt is when dropOld last looked for subjects to drop.
	droppedAt time.Time
}

type storedCapture struct {
	sent trace.SpanContext
	at   time.Time
}

func newEvictions() *evictions { return &evictions{captures: map[string][]storedCapture{}} }

// add records a message that was stored, and ends the trace of the one that it evicted.
func (e *evictions) add(subject string, ctx context.Context) { //nolint:revive // the context is what is stored
	sent, now := trace.SpanContextFromContext(ctx), time.Now()
	e.dropOld(now)
	kept := e.captures[subject]
	// A message that is not sampled takes a place in CATALOG, too. It has no trace to end, so it is kept only after one
	// that has.
	if !sent.IsSampled() && len(kept) == 0 {
		return
	}
	kept = append(kept, storedCapture{sent, now})
	if len(kept) > topology.MaxStatesPerProduct {
		out := kept[0]
		kept = kept[1:]
		if out.sent.IsSampled() && now.Sub(out.at) < evictionWindow {
			evicted := trace.ContextWithRemoteSpanContext(ctx, out.sent)
			_, span := otel.Tracer(tracerName).Start(evicted, "leave catalog")
			markSuperseded(span, sent)
			span.End()
		}
	}
	e.captures[subject] = kept
}

// dropOld drops subjects without a message within the window. It looks once in a window.
func (e *evictions) dropOld(now time.Time) {
	if now.Sub(e.droppedAt) < evictionWindow {
		return
	}
	e.droppedAt = now
	for subject, captures := range e.captures {
		if now.Sub(captures[len(captures)-1].at) > evictionWindow {
			delete(e.captures, subject)
		}
	}
}
