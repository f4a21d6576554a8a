package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/driftless-sync/driftless/services/internal/jaeger"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
	"github.com/driftless-sync/driftless/services/internal/visible"
)

// verdict says in one sentence how a trace ends.
type verdict struct {
	// State is applied, unchanged, written_back, observed, retrying, dead, held, superseded, waiting, failed or
	// unknown.
	State string `json:"state"`
	Text  string `json:"text"`
}

// ending is what the spans of a product say about the end of its change.
type ending struct {
	trace   *jaeger.Trace
	product string
	now     time.Time
	// last is the latest span with an outcome that ends an attempt.
	last *jaeger.Span
	// waiting is a state that no push has processed.
	waiting *jaeger.Span
	// failed is the latest span of ingestion that failed.
	failed *jaeger.Span
	// calls and confirmed count the calls that Stripe answered, and the events that confirmed them.
	calls, confirmed int
	// separate is the number of products of a transaction that have traces of their own.
	separate int
}

// endings are the outcomes that end an attempt.
var endings = map[string]bool{
	telemetry.OutcomeApplied: true, telemetry.OutcomeUnchanged: true, telemetry.OutcomeWrittenBack: true,
	telemetry.OutcomeSuperseded: true, telemetry.OutcomeHeld: true, telemetry.OutcomeRetry: true,
	telemetry.OutcomeDead: true, telemetry.OutcomeObserved: true, telemetry.OutcomeDrifted: true,
}

// judgeTrace returns the verdict about a product in a trace. It says no more than the spans do.
func judgeTrace(t *jaeger.Trace, product string, now time.Time) verdict {
	if product == "" {
		products := map[string]bool{}
		for _, s := range t.Spans {
			if id := s.Attributes[string(telemetry.ProductIDKey)]; id != "" {
				product, products[id] = id, true
			}
		}
		if len(products) > 1 {
			return verdict{"unknown", fmt.Sprintf(
				"the trace is about %s: `driftless trace PRODUCT` says how the change of each ended",
				countOf(len(products), "product", "products"))}
		}
	}
	e := &ending{trace: t, product: product, now: now}
	for _, s := range t.Spans {
		if !(spanFilter{product: product}).isForeign(s) {
			e.add(s)
		}
	}
	return e.verdict()
}

func (e *ending) add(s *jaeger.Span) {
	outcome := s.Attributes[string(telemetry.OutcomeKey)]
	if endings[outcome] && !isBookkeeping(s) && (e.last == nil || !s.End().Before(e.last.End())) {
		e.last = s
	}
	switch name := shortName(s); {
	case name == "send catalog" && s.Error() != "", name == "capture" && s.Error() != "":
		e.failed = s
	case name == "capture" && len(e.trace.Children(s.ID)) < 2:
		e.separate, _ = strconv.Atoi(s.Attributes[string(telemetry.ProductCountKey)])
	case isUnprocessed(e.trace, s):
		e.waiting = s
	case outcome == telemetry.OutcomeConfirmed && name == "process stripe":
		e.confirmed++
	case s.Attributes[string(telemetry.IdempotencyKeyKey)] != "" && s.Error() == "":
		e.calls++
	}
}

func (e *ending) verdict() verdict {
	switch {
	case e.last != nil && (e.waiting == nil || e.last.End().After(e.waiting.End())):
		return e.ofOutcome(e.last.Attributes[string(telemetry.OutcomeKey)])
	case e.waiting != nil:
		return verdict{"waiting", fmt.Sprintf(
			"push has not processed the change for %s: see `driftless status`",
			formatDuration(e.now.Sub(e.waiting.End())))}
	case e.failed != nil:
		return verdict{"failed", "the change did not reach push: " + e.failed.Error() + ". Ingestion tries again"}
	case e.separate > 1:
		return verdict{"unknown", fmt.Sprintf("the transaction changed %s, which have a trace each: "+
			"`driftless trace PRODUCT` shows one", countOf(e.separate, "product", "products"))}
	default:
		return verdict{"unknown", "the trace does not say how the change ended: spans may be missing, or on their way"}
	}
}

func (e *ending) ofOutcome(outcome string) verdict {
	s := e.last
	switch outcome {
	case telemetry.OutcomeApplied:
		return verdict{
			outcome,
			"Stripe has the change, " + formatDuration(s.End().Sub(e.trace.Start())) + " after it began; " +
				e.confirmations(),
		}
	case telemetry.OutcomeUnchanged:
		return verdict{outcome, "Stripe had the state already; there was nothing to do"}
	case telemetry.OutcomeWrittenBack:
		return verdict{outcome, "Stripe's values were written to the catalog"}
	case telemetry.OutcomeObserved:
		return verdict{
			outcome,
			"others changed the product in Stripe; if that is drift, `driftless drift show " + visible.Argument(e.product) +
				"` says what becomes of it",
		}
	case telemetry.OutcomeDrifted:
		return verdict{outcome, "catalog and Stripe differed; see `driftless drift show " + visible.Argument(e.product) + "`"}
	case telemetry.OutcomeSuperseded:
		text := "a later state includes the change"
		if id := s.Attributes[string(telemetry.CarriedByKey)]; id != "" {
			text += ": see trace " + id
		}
		return verdict{outcome, text}
	case telemetry.OutcomeHeld:
		return verdict{
			outcome,
			"the guard holds the change (" + listText(s.Attributes[string(telemetry.GuardRulesKey)]) +
				"): look at `driftless plan`, then `driftless approve`",
		}
	case telemetry.OutcomeDead:
		return verdict{outcome, fmt.Sprintf("the change was given up (%s): %s. See `driftless dead show %s`",
			s.Attributes[string(telemetry.DeadReasonKey)], s.Error(), visible.Argument(e.product))}
	default:
		return verdict{"retrying", e.retry()}
	}
}

// confirmations says how much of what was applied Stripe's events have confirmed.
func (e *ending) confirmations() string {
	switch {
	case e.calls == 0:
		return "an earlier pass had made the calls"
	case e.confirmed == 0:
		return "no event has confirmed it in this trace yet"
	default:
		return countOf(e.confirmed, "event", "events") + " of Stripe confirmed it"
	}
}

// retry says when the failed change is tried again, as of the last attempt.
func (e *ending) retry() string {
	attempts := 0
	for _, s := range e.trace.Spans {
		if shortName(s) == "sync product" && s.Error() != "" && !(spanFilter{product: e.product}).isForeign(s) {
			attempts++
		}
	}
	text := "the change failed " + countOf(attempts, "time", "times") + ": " + strings.TrimSuffix(e.last.Error(), ".")
	ms, err := strconv.ParseInt(e.last.Attributes[string(telemetry.RetryDelayKey)], 10, 64)
	if err != nil {
		return text
	}
	due := e.last.End().Add(time.Duration(ms) * time.Millisecond)
	if wait := due.Sub(e.now); wait > 0 {
		return text + ". It is tried again in " + formatDuration(wait)
	}
	return text + ". The next attempt was due " + formatDuration(e.now.Sub(due)) + " ago, and is not in Jaeger"
}

// isUnprocessed reports whether a span stored a desired state that push has not processed. One that failed stored
// nothing.
func isUnprocessed(t *jaeger.Trace, s *jaeger.Span) bool {
	if shortName(s) != "send catalog" || s.Error() != "" {
		return false
	}
	for _, child := range t.Children(s.ID) {
		switch shortName(child) {
		case "leave catalog", "complete change":
			return false
		case "process catalog":
			if strings.HasPrefix(child.Attributes["messaging.consumer.group.name"], "push-") {
				return false
			}
		}
	}
	return true
}
