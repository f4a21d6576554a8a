package telemetry

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// NewTracerProvider returns the provider that Setup installs. Its spans have the attributes of About, and discarded
// spans are left out. Failed parts of unsampled traces also reach the processor.
func NewTracerProvider(sampler sdktrace.Sampler, next sdktrace.SpanProcessor,
	options ...sdktrace.TracerProviderOption,
) *sdktrace.TracerProvider {
	return sdktrace.NewTracerProvider(append(options, newPipeline(next).options(sampler)...)...)
}

// pipeline processes spans on their way to the exporter.
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
