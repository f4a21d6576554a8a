package telemetry

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// NewTracerProvider makes the provider that Setup installs: spans say what they are about, what was discarded is left
// out, and of traces that the sampler leaves out the parts that failed go to the processor all the same.
func NewTracerProvider(sampler sdktrace.Sampler, next sdktrace.SpanProcessor,
	options ...sdktrace.TracerProviderOption,
) *sdktrace.TracerProvider {
	return sdktrace.NewTracerProvider(append(options, newPipeline(next).options(sampler)...)...)
}

// pipeline is what spans go through on the way to the exporter.
type pipeline struct {
	next sdktrace.SpanProcessor
	keep *keeper
}

func newPipeline(next sdktrace.SpanProcessor) *pipeline { return &pipeline{next, newKeeper(next)} }

func (p *pipeline) options(sampler sdktrace.Sampler) []sdktrace.TracerProviderOption {
	return []sdktrace.TracerProviderOption{
		sdktrace.WithSampler(keepingSampler{sampler, p.keep}),
		sdktrace.WithSpanProcessor(p),
	}
}

func (p *pipeline) OnStart(ctx context.Context, s sdktrace.ReadWriteSpan) {
	if about, ok := ctx.Value(aboutKey{}).(About); ok {
		s.SetAttributes(about.attributes()...)
	}
	if s.SpanContext().IsSampled() {
		p.next.OnStart(ctx, s)
		return
	}
	p.keep.begin(s)
}

func (p *pipeline) OnEnd(s sdktrace.ReadOnlySpan) {
	discarded := has(s.Attributes(), discardedKey)
	switch {
	case !s.SpanContext().IsSampled():
		p.keep.end(s, discarded)
	case !discarded:
		p.next.OnEnd(s)
	}
}

func (p *pipeline) Shutdown(ctx context.Context) error   { return p.next.Shutdown(ctx) }
func (p *pipeline) ForceFlush(ctx context.Context) error { return p.next.ForceFlush(ctx) }

func has(attributes []attribute.KeyValue, key attribute.Key) bool {
	for _, a := range attributes {
		if a.Key == key {
			return true
		}
	}
	return false
}
