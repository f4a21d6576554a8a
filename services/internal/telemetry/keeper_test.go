package telemetry

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

// recorded runs work with a provider of the given sampler and returns the exported spans.
func recorded(t *testing.T, sampler sdktrace.Sampler, work func(trace.Tracer)) map[string]tracetest.SpanStub {
	t.Helper()
	exporter := tracetest.NewInMemoryExporter()
	line := newPipeline(sdktrace.NewSimpleSpanProcessor(exporter))
	provider := sdktrace.NewTracerProvider(line.options(sampler)...)
	work(provider.Tracer("test"))
	require.Empty(t, line.keep.hops, "traces that have ended are dropped")
	out := map[string]tracetest.SpanStub{}
	for _, s := range exporter.GetSpans() {
		require.NotContains(t, out, s.Name, "exported twice")
		out[s.Name] = s
	}
	require.NoError(t, provider.Shutdown(t.Context()))
	return out
}

var errBroken = errors.New("broken")

func names(spans map[string]tracetest.SpanStub) []string {
	out := []string{}
	for name := range spans {
		out = append(out, name)
	}
	return out
}

func remote(t *testing.T, traceparent string) context.Context {
	t.Helper()
	ctx := ContextWithTraceparent(t.Context(), traceparent)
	require.True(t, trace.SpanContextFromContext(ctx).IsValid())
	return ctx
}

const unsampled = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"

func value(t *testing.T, span tracetest.SpanStub, key attribute.Key) attribute.Value {
	t.Helper()
	for _, a := range span.Attributes {
		if a.Key == key {
			return a.Value
		}
	}
	require.Fail(t, "span "+span.Name+" has no "+string(key))
	return attribute.Value{}
}

var parentBased = sdktrace.ParentBased(sdktrace.NeverSample())

func TestKeeper_DropsSuccessfulHops(t *testing.T) {
	require.Empty(t, recorded(t, parentBased, func(tracer trace.Tracer) {
		ctx, hop := tracer.Start(remote(t, unsampled), "process")
		_, child := tracer.Start(ctx, "call")
		child.End()
		hop.End()
	}))
}

func TestKeeper_ExportsFailedHop(t *testing.T) {
	var sent trace.SpanContext
	spans := recorded(t, parentBased, func(tracer trace.Tracer) {
		ctx, hop := tracer.Start(remote(t, unsampled), "process")
		_, before := tracer.Start(ctx, "claim")
		before.End()
		callCtx, call := tracer.Start(ctx, "call")
		_, http := tracer.Start(callCtx, "POST")
		Fail(http, errBroken)
		http.End()
		call.End()
		// Spans that begin after a failure are sampled, and so are those that follow from them in other processes.
		_, send := tracer.Start(ctx, "send retry", trace.WithSpanKind(trace.SpanKindProducer))
		sent = send.SpanContext()
		send.End()
		hop.End()

		_, other := tracer.Start(remote(t, unsampled), "another process of the same trace")
		other.End()
	})
	require.ElementsMatch(t, []string{"process", "claim", "call", "POST", "send retry"}, names(spans))
	require.True(t, sent.IsSampled())
	require.False(t, spans["process"].Parent.IsValid(), "its parent is not exported: it is a root")
	require.True(t, value(t, spans["process"], KeptKey).AsBool())
	for _, s := range spans {
		require.Equal(t, "4bf92f3577b34da6a3ce929d0e0e4736", s.SpanContext.TraceID().String(),
			"found by the id that logs and histories show")
		require.True(t, s.SpanContext.IsSampled())
		if s.Name != "process" {
			require.Contains(t,
				[]trace.SpanID{spans["process"].SpanContext.SpanID(), spans["call"].SpanContext.SpanID()},
				s.Parent.SpanID(), s.Name)
		}
	}
}

func TestKeepingSampler_SamplesMessagesAfterFailure(t *testing.T) {
	spans := recorded(t, parentBased, func(tracer trace.Tracer) {
		ctx, hop := tracer.Start(remote(t, unsampled), "process")
		hop.SetStatus(codes.Error, "undecodable")
		_, send := tracer.Start(ctx, "send dead", trace.WithSpanKind(trace.SpanKindProducer))
		send.End()
		hop.End()
	})
	require.ElementsMatch(t, []string{"process", "send dead"}, names(spans))
}

func TestKeepingSampler_SamplesDrift(t *testing.T) {
	spans := recorded(t, parentBased, func(tracer trace.Tracer) {
		ctx, drift := tracer.Start(t.Context(), "drift", trace.WithAttributes(OutcomeKey.String(OutcomeDrifted)))
		_, child := tracer.Start(ctx, "send command")
		child.End()
		drift.End()
	})
	require.ElementsMatch(t, []string{"drift", "send command"}, names(spans))
}

func TestPipeline_PassesSampledSpans(t *testing.T) {
	spans := recorded(t, sdktrace.AlwaysSample(), func(tracer trace.Tracer) {
		ctx, hop := tracer.Start(remote(t, unsampled), "process")
		_, child := tracer.Start(ctx, "call")
		Fail(child, errBroken)
		child.End()
		hop.End()
	})
	require.Len(t, spans, 2)
	require.Equal(t, "00f067aa0ba902b7", spans["process"].Parent.SpanID().String())
	require.Equal(t, "_OTHER", value(t, spans["call"], "error.type").AsString())
}

func TestKeeper_LimitsSpansOfHop(t *testing.T) {
	exporter := tracetest.NewInMemoryExporter()
	provider := NewTracerProvider(parentBased, sdktrace.NewSimpleSpanProcessor(exporter))
	tracer := provider.Tracer("test")
	ctx, hop := tracer.Start(remote(t, unsampled), "process")
	for range 10 * maxSpansPerHop {
		_, child := tracer.Start(ctx, "list")
		child.End()
	}
	_, child := tracer.Start(ctx, "call")
	Fail(child, errBroken)
	child.End()
	hop.End()
	spans := exporter.GetSpans()
	require.Len(t, spans, maxSpansPerHop+2)
	require.Equal(t, "call", spans[maxSpansPerHop].Name, "an error is kept even then")
	require.Equal(t, "process", spans[maxSpansPerHop+1].Name)
	require.NoError(t, provider.Shutdown(t.Context()))
}

func TestContextAbout_SetsAttributesOfEverySpan(t *testing.T) {
	spans := recorded(t, sdktrace.AlwaysSample(), func(tracer trace.Tracer) {
		ctx, hop := tracer.Start(ContextAbout(t.Context(), About{Account: "default", Product: "mug", Version: 7}),
			"process")
		_, child := tracer.Start(ctx, "POST /v1/products")
		child.End()
		hop.End()
	})
	for _, s := range spans {
		require.Equal(t, "mug", value(t, s, ProductIDKey).AsString())
		require.Equal(t, "default", value(t, s, AccountKey).AsString())
		require.EqualValues(t, 7, value(t, s, VersionKey).AsInt64())
	}
}

func TestDiscard_PreventsExport(t *testing.T) {
	for name, sampler := range map[string]sdktrace.Sampler{
		"sampled":     sdktrace.AlwaysSample(),
		"not sampled": parentBased,
	} {
		t.Run(name, func(t *testing.T) {
			require.Empty(t, recorded(t, sampler, func(tracer trace.Tracer) {
				_, span := tracer.Start(t.Context(), "process")
				Fail(span, errBroken)
				Discard(span)
				span.End()
			}))
		})
	}
}
