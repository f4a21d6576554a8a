package reconciliation_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
	"github.com/driftless-sync/driftless/services/internal/telemetry/telemetrytest"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/controltest"
)

// TestDriftSpans_AreAlwaysSampled samples no trace, so only the spans of drift are recorded.
func TestDriftSpans_AreAlwaysSampled(t *testing.T) {
	exporter := tracetest.NewInMemoryExporter()
	before := otel.GetTracerProvider()
	otel.SetTracerProvider(telemetry.NewTracerProvider(sdktrace.ParentBased(sdktrace.NeverSample()),
		sdktrace.NewSimpleSpanProcessor(exporter)))
	otel.SetTextMapPropagator(propagation.TraceContext{})
	t.Cleanup(func() { otel.SetTracerProvider(before) })

	r := controltest.New(t)
	r.Start()
	r.AckCatalog()
	commands := r.Commands("mug")
	r.Observe("mug", "Mug", 10)
	r.Desire("mug", "Mug", 10)
	r.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	require.Empty(t, exporter.GetSpans(), "all went well")
	r.Observe("mug", "Renamed by hand", 10)
	r.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_DRIFTED)
	require.Eventually(t, func() bool { return commands.Load() == 1 }, controltest.Patience, 10*time.Millisecond)

	spans := func(name string) []tracetest.SpanStub {
		return telemetrytest.Named(exporter.GetSpans(), name)
	}
	// A message may be received slightly before the span of its publish ends.
	require.Eventually(t, func() bool {
		return len(spans("find drift")) == 1 && len(spans("repair drift")) == 1 && len(spans("send sync")) > 0 &&
			len(spans("send command")) > 0
	}, controltest.Patience, 10*time.Millisecond)
	find, repair := spans("find drift")[0], spans("repair drift")[0]
	for _, s := range []tracetest.SpanStub{find, repair} {
		require.Contains(t, s.Attributes, telemetry.ProductIDKey.String("mug"))
		require.Contains(t, s.Attributes, telemetry.OutcomeKey.String(telemetry.OutcomeDrifted))
	}
	require.Contains(t, find.Attributes, telemetry.DriftFieldsKey.StringSlice([]string{"name"}))
	require.Contains(t, find.Attributes, telemetry.DriftKindsKey.StringSlice([]string{"field"}))
	require.Len(t, repair.Links, 1, "the repair links to what it repairs")
	require.Equal(t, find.SpanContext.SpanID(), repair.Links[0].SpanContext.SpanID())
	// Outcome and command carry these traces, so that the history and the repair lead to them.
	require.Equal(t, find.SpanContext.TraceID(), spans("send sync")[0].SpanContext.TraceID())
	require.Equal(t, repair.SpanContext.TraceID(), spans("send command")[0].SpanContext.TraceID())
}
