package telemetry

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

func TestStartTrace_LinksNewRoot(t *testing.T) {
	spans := recorded(t, sdktrace.ParentBased(sdktrace.AlwaysSample()), func(tracer trace.Tracer) {
		ctx, whole := tracer.Start(t.Context(), "whole")
		partCtx, part := StartTrace(ctx, tracer, "part", context.Background())
		_, child := tracer.Start(partCtx, "child")
		child.End()
		part.End()
		whole.End()
	})
	whole, part, child := spans["whole"], spans["part"], spans["child"]
	require.False(t, part.Parent.IsValid())
	require.NotEqual(t, whole.SpanContext.TraceID(), part.SpanContext.TraceID())
	require.Len(t, part.Links, 1)
	require.Equal(t, whole.SpanContext.SpanID(), part.Links[0].SpanContext.SpanID())
	require.Equal(t, part.SpanContext.SpanID(), child.Parent.SpanID())
}

// The application decided not to sample, so a large transaction adds no trace either.
func TestStartTrace_FollowsTheOriginsSampling(t *testing.T) {
	spans := recorded(t, sdktrace.ParentBased(sdktrace.AlwaysSample()), func(tracer trace.Tracer) {
		ctx, part := StartTrace(t.Context(), tracer, "part", remote(t, unsampled))
		_, child := tracer.Start(ctx, "child")
		child.End()
		part.End()
	})
	require.Empty(t, spans)
}
