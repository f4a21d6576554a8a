package telemetry

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"pgregory.net/rapid"
)

const sampledParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

// malformed lists values that an application may have written.
var malformed = []string{
	"", "0", "00", "garbage", "00-", "00-4bf92f3577b34da6a3ce929d0e0e4736",
	"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
	"00-00000000000000000000000000000000-00f067aa0ba902b7-01",
	"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
	"ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
	"00-4BF92F3577B34DA6A3CE929D0E0E4736-00F067AA0BA902B7-01",
	"00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
	"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
	"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\x00", "\xff\xfe", strings.Repeat("0", 1<<20),
}

func TestContextWithTraceparent_IgnoresMalformed(t *testing.T) {
	for _, value := range malformed {
		require.False(t, trace.SpanContextFromContext(ContextWithTraceparent(t.Context(), value)).IsValid(), "%.80q",
			value)
		header := nats.Header{"traceparent": {value}}
		require.False(t, trace.SpanContextFromContext(ExtractNATS(t.Context(), header)).IsValid(), "%.80q", value)
	}
	require.True(t, trace.SpanContextFromContext(ContextWithTraceparent(t.Context(), sampledParent)).IsValid())
}

func TestContextWithTraceparent_AcceptsAnyText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(),
			rapid.StringMatching(`[0-9a-f]{2}-[0-9a-f]{31,33}-[0-9a-f]{15,17}-[0-9a-f]{1,3}`)).Draw(t, "traceparent")
		ctx := ContextWithTraceparent(t.Context(), text)
		if sc := trace.SpanContextFromContext(ctx); sc.IsValid() &&
			!strings.HasPrefix(Traceparent(ctx), "00-"+sc.TraceID().String()) {
			t.Fatalf("%q is carried on as %q", text, Traceparent(ctx))
		}
	})
}

func TestHTTPServer_StartsTraceForMalformedTraceparent(t *testing.T) {
	exporter := tracetest.NewInMemoryExporter()
	before := otel.GetTracerProvider()
	otel.SetTracerProvider(NewTracerProvider(sdktrace.ParentBased(sdktrace.AlwaysSample()),
		sdktrace.NewSimpleSpanProcessor(exporter)))
	t.Cleanup(func() { otel.SetTracerProvider(before) })
	var seen []string
	handler := HTTPServer(
		http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			seen = append(seen, Traceparent(r.Context()))
		}))
	for _, value := range append(malformed, sampledParent) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil)
		r.Header.Set("Traceparent", value)
		handler.ServeHTTP(httptest.NewRecorder(), r)
	}
	require.Len(t, seen, len(malformed)+1)
	for _, traceparent := range seen[:len(malformed)] {
		require.True(t, trace.SpanContextFromContext(ContextWithTraceparent(t.Context(), traceparent)).IsValid())
		require.NotContains(t, traceparent, "4bf92f3577b34da6a3ce929d0e0e4736")
	}
	require.Contains(t, seen[len(malformed)], "4bf92f3577b34da6a3ce929d0e0e4736")
}
