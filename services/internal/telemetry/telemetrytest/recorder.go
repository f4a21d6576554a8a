// Package telemetrytest records the spans of a test in memory and checks that a trace is one connected tree.
package telemetrytest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/driftless-sync/driftless/services/internal/telemetry"
)

// Recorder has the spans that ended since Start.
type Recorder struct{ exporter *tracetest.InMemoryExporter }

// Start records every span of the process until the test ends. It replaces the global tracer provider, so tests that
// use it must not run in parallel with others.
func Start(t testing.TB) *Recorder {
	t.Helper()
	exporter := tracetest.NewInMemoryExporter()
	otel.SetTracerProvider(telemetry.NewTracerProvider(sdktrace.ParentBased(sdktrace.AlwaysSample()),
		sdktrace.NewSimpleSpanProcessor(exporter)))
	otel.SetTextMapPropagator(propagation.TraceContext{})
	// The tests that follow make many spans that nobody reads.
	t.Cleanup(func() { otel.SetTracerProvider(noop.NewTracerProvider()) })
	return &Recorder{exporter}
}

// Spans returns all spans that have ended.
func (r *Recorder) Spans() []tracetest.SpanStub { return r.exporter.GetSpans() }

// Named returns the spans with a name. A messaging span's name goes on with the destination's template, so "send
// catalog" is enough for it.
func Named(spans []tracetest.SpanStub, name string) (out []tracetest.SpanStub) {
	for _, s := range spans {
		if s.Name == name || strings.HasPrefix(s.Name, name+".{") {
			out = append(out, s)
		}
	}
	return out
}

// Trace returns the ended spans of one trace, in the order of their starts.
func (r *Recorder) Trace(id trace.TraceID) []tracetest.SpanStub {
	var out []tracetest.SpanStub
	for _, s := range r.exporter.GetSpans() {
		if s.SpanContext.TraceID() == id {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b tracetest.SpanStub) int { return a.StartTime.Compare(b.StartTime) })
	return out
}

// Tree checks that the spans form one tree: one span has no parent or the given remote parent, and the parent of every
// other span is among them. It returns the tree as indented lines.
func Tree(spans []tracetest.SpanStub, remote trace.SpanID) (string, error) {
	known := map[trace.SpanID]bool{}
	for _, s := range spans {
		known[s.SpanContext.SpanID()] = true
	}
	children := map[trace.SpanID][]tracetest.SpanStub{}
	var roots []tracetest.SpanStub
	for _, s := range spans {
		switch parent := s.Parent.SpanID(); {
		case !parent.IsValid() || parent == remote:
			roots = append(roots, s)
		case !known[parent]:
			return "", fmt.Errorf("span %q has a parent, %s, that is not in the trace", s.Name, parent)
		default:
			children[parent] = append(children[parent], s)
		}
	}
	if len(roots) != 1 {
		names := make([]string, len(roots))
		for i, s := range roots {
			names[i] = s.Name
		}
		return "", fmt.Errorf("the trace has %d roots (%s), not one", len(roots), strings.Join(names, ", "))
	}
	var b strings.Builder
	var write func(s tracetest.SpanStub, depth int)
	write = func(s tracetest.SpanStub, depth int) {
		fmt.Fprintf(&b, "%s%s\n", strings.Repeat("  ", depth), s.Name)
		for _, c := range children[s.SpanContext.SpanID()] {
			write(c, depth+1)
		}
	}
	write(roots[0], 0)
	return b.String(), nil
}
