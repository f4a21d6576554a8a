package ingestion

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/trace"

	"github.com/driftless-sync/driftless/services/internal/telemetry/telemetrytest"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// CATALOG counts every message, so a sampled state is evicted by messages that are not sampled, too.
func TestEvictions_CountsMessagesThatAreNotSampled(t *testing.T) {
	recorder := telemetrytest.Start(t)
	ctx, span := otel.Tracer("test").Start(t.Context(), "save")
	span.End()
	e := newEvictions()
	e.add("catalog.a.live.mug", context.Background())
	require.Empty(t, e.captures, "nothing is kept without a trace")
	e.add("catalog.a.live.mug", ctx)
	for range topology.MaxStatesPerProduct - 1 {
		e.add("catalog.a.live.mug", context.Background())
	}
	require.Empty(t, telemetrytest.Named(recorder.Spans(), "leave catalog"))
	e.add("catalog.a.live.mug", context.Background())
	left := telemetrytest.Named(recorder.Spans(), "leave catalog")
	require.Len(t, left, 1)
	require.Equal(t, trace.SpanContextFromContext(ctx).TraceID(), left[0].SpanContext.TraceID())
	e.add("catalog.a.live.mug", context.Background())
	require.Len(t, telemetrytest.Named(recorder.Spans(), "leave catalog"), 1)
}
