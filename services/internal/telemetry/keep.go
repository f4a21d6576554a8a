package telemetry

import (
	"slices"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// mostOpen is how many spans that have not ended are known: one that never ends is never forgotten.
const mostOpen = 1 << 16

// mostKept is how many spans of a hop are remembered.
const mostKept = 128

// keepingSampler decides as the sampler that is configured does, but that
//   - what tells of drift or of a dead letter is sampled, and all that comes of it;
//   - what it drops is recorded in this process, until it is known whether it fails;
//   - once something has failed, what follows is sampled.
type keepingSampler struct {
	configured sdktrace.Sampler
	keep       *keeper
}

func (s keepingSampler) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	result := s.configured.ShouldSample(p)
	if result.Decision != sdktrace.Drop {
		return result
	}
	switch parent := trace.SpanFromContext(p.ParentContext); {
	case s.keep.hasFailed(parent), remarkable(p.Attributes):
		result.Decision = sdktrace.RecordAndSample
	case p.Kind == trace.SpanKindProducer:
		// The span around it says that a publication failed, and there is one for each message.
	default:
		result.Decision = sdktrace.RecordOnly
	}
	return result
}

func (s keepingSampler) Description() string { return "Keeping{" + s.configured.Description() + "}" }

// remarked are the outcomes that begin a sampled trace, or continue one as sampled.
var remarked = []string{OutcomeDrifted, OutcomeDead, OutcomeReplayed}

func remarkable(attributes []attribute.KeyValue) bool {
	return slices.ContainsFunc(attributes, func(a attribute.KeyValue) bool {
		return a.Key == OutcomeKey && slices.Contains(remarked, a.Value.AsString())
	})
}

// hop is the part of an unsampled trace that passes through this process: from a span whose parent is in another
// process, or that has none, to all that it began.
type hop struct {
	first  trace.SpanID
	open   int
	failed bool
	ended  []sdktrace.ReadOnlySpan
}

// keeper exports the hops of unsampled traces in which something failed. A hop shows under its trace's own id, as a
// tree of its own. Safe for concurrent use.
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
	if len(k.hops) >= mostOpen {
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
	// The last one is the first that began: without it the others would have no root.
	if !discarded && (len(h.ended) < mostKept || failed && len(h.ended) < 2*mostKept || h.open == 0) {
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

// hasFailed says whether something has failed in the hop of a span that is not sampled.
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

// kept is a span of an unsampled trace as it is exported.
type kept struct {
	sdktrace.ReadOnlySpan

	first bool
}

func (s kept) SpanContext() trace.SpanContext {
	sc := s.ReadOnlySpan.SpanContext()
	return sc.WithTraceFlags(sc.TraceFlags().WithSampled(true))
}

// Parent of the first span is not exported.
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
