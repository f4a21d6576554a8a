package ingestion

import (
	"context"
	"slices"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/trace"

	"github.com/driftless-sync/driftless/services/internal/topology"
)

// evictionWindow is how long push may take to receive a state. A state that CATALOG's limit for each product evicts
// within this time may not have been delivered to push.
const evictionWindow = time.Minute

// evictions keeps the last captures of each product, as many as CATALOG keeps. Later states may evict a state before it
// is delivered. The trace of an evicted state then links to the one that replaced it. Not safe for concurrent use.
type evictions struct {
	captures map[string][]storedCapture
	swept    time.Time
}

type storedCapture struct {
	sent trace.SpanContext
	at   time.Time
}

func newEvictions() *evictions { return &evictions{captures: map[string][]storedCapture{}} }

// add notes a message that was stored.
func (c *evictions) add(product string, ctx context.Context) { //nolint:revive // the context is what is stored
	sent := trace.SpanContextFromContext(ctx)
	if !sent.IsSampled() {
		return
	}
	now := time.Now()
	c.dropOld(now)
	kept := append(slices.Clip(c.captures[product]), storedCapture{sent, now})
	if len(kept) > topology.MaxStatesPerProduct {
		out := kept[0]
		kept = kept[1:]
		if now.Sub(out.at) < evictionWindow {
			evicted := trace.ContextWithRemoteSpanContext(ctx, out.sent)
			_, span := otel.Tracer(tracerName).Start(evicted, "leave catalog")
			markSuperseded(span, sent)
			span.End()
		}
	}
	c.captures[product] = kept
}

// dropOld drops products that were not captured lately.
func (c *evictions) dropOld(now time.Time) {
	if now.Sub(c.swept) < evictionWindow {
		return
	}
	c.swept = now
	for product, captures := range c.captures {
		if now.Sub(captures[len(captures)-1].at) > evictionWindow {
			delete(c.captures, product)
		}
	}
}
