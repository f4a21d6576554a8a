package telemetry

import (
	"slices"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// maxOpenSpans is the maximum number of open spans that the keeper tracks. A span that never ends would stay for ever.
const maxOpenSpans = 1 << 16

// maxSpansPerHop is the maximum number of spans that are kept of one hop.
const maxSpansPerHop = 128

// keepingSampler follows the configured sampler, with these exceptions:
//   - spans about drift or a dead letter are sampled, and all that follow from them;
//   - dropped spans are recorded in this process until it is known whether they fail;
//   - once a span has failed, those that follow are sampled.
type keepingSampler struct {
	configured sdktrace.Sampler
	keep       *keeper
}

func (s keepingSampler) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	if origin := originOf(p.ParentContext); origin.IsValid() {
		p.ParentContext = trace.ContextWithRemoteSpanContext(p.ParentContext, origin)
	}
	result := s.configured.ShouldSample(p)
	if result.Decision != sdktrace.Drop {
		return result
	}
	switch parent := trace.SpanFromContext(p.ParentContext); {
	case s.keep.hasFailed(parent), hasSampledOutcome(p.Attributes):
		result.Decision = sdktrace.RecordAndSample
	case p.Kind == trace.SpanKindProducer:
		// The surrounding span shows that a publish failed, and each message has a publish of its own.
	default:
		result.Decision = sdktrace.RecordOnly
	}
	return result
}

func (s keepingSampler) Description() string { return "Keeping{" + s.configured.Description() + "}" }

// sampledOutcomes lists the outcomes that start a sampled trace, or continue one as sampled.
var sampledOutcomes = []string{OutcomeDrifted, OutcomeDead, OutcomeReplayed}

func hasSampledOutcome(attributes []attribute.KeyValue) bool {
	return slices.ContainsFunc(attributes, func(a attribute.KeyValue) bool {
		return a.Key == OutcomeKey && slices.Contains(sampledOutcomes, a.Value.AsString())
	})
}

// hop is the part of an unsampled trace within this process: a span without a parent, or with a parent in another
// process, and all spans that it started.
type hop struct {
	first  trace.SpanID
	open   int
	failed bool
	ended  []sdktrace.ReadOnlySpan
}

// keeper exports the hops of unsampled traces in which a span failed. A hop has the id of its trace and is a tree of
// its own. Safe for concurrent use.
type keeper struct {
	next sdktrace.SpanProcessor

	mu   sync.Mutex
	hops map[trace.SpanID]*hop
}

func newKeeper(next sdktrace.SpanProcessor) *keeper {
	return &keeper{next: next, hops: map[trace.SpanID]*hop{}}
}

func (k *keeper) begin(s sdktrace.ReadOnlySpan) {
	id := s.SpanContext().SpanID()
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.hops) >= maxOpenSpans {
		return
	}
	var h *hop
	if !s.Parent().IsRemote() {
		h = k.hops[s.Parent().SpanID()]
	}
	if h == nil {
		h = &hop{first: id}
	}
	h.open++
	k.hops[id] = h
}

func (k *keeper) end(s sdktrace.ReadOnlySpan, discarded bool) {
	id := s.SpanContext().SpanID()
	k.mu.Lock()
	h := k.hops[id]
	delete(k.hops, id)
	if h == nil {
		k.mu.Unlock()
		return
	}
	h.open--
	failed := s.Status().Code == codes.Error
	h.failed = h.failed || failed && !discarded
	// The span that ends last is the one that began first. Without it the others would have no root.
	if !discarded && (len(h.ended) < maxSpansPerHop || failed && len(h.ended) < 2*maxSpansPerHop || h.open == 0) {
		h.ended = append(h.ended, s)
	}
	over := h.open == 0
	k.mu.Unlock()
	if !over || !h.failed {
		return
	}
	for _, ended := range h.ended {
		k.next.OnEnd(kept{ended, ended.SpanContext().SpanID() == h.first})
	}
}

// hasFailed reports whether a span has failed in the hop of an unsampled span.
func (k *keeper) hasFailed(span trace.Span) bool {
	if !span.IsRecording() {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	h := k.hops[span.SpanContext().SpanID()]
	if h == nil {
		return false
	}
	if s, ok := span.(sdktrace.ReadOnlySpan); ok && s.Status().Code == codes.Error {
		h.failed = true
	}
	return h.failed
}

// kept is an exported span of an unsampled trace.
type kept struct {
	sdktrace.ReadOnlySpan

	first bool
}

func (s kept) SpanContext() trace.SpanContext {
	sc := s.ReadOnlySpan.SpanContext()
	return sc.WithTraceFlags(sc.TraceFlags().WithSampled(true))
}

// Parent returns no parent for the first span: its parent is not exported.
func (s kept) Parent() trace.SpanContext {
	if s.first {
		return trace.SpanContext{}
	}
	return s.ReadOnlySpan.Parent()
}

func (s kept) Attributes() []attribute.KeyValue {
	if s.first {
		return append(slices.Clone(s.ReadOnlySpan.Attributes()), KeptKey.Bool(true))
	}
	return s.ReadOnlySpan.Attributes()
}
