package telemetry

import (
	"context"
	"errors"
	"net"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// Span attributes that OpenTelemetry's conventions do not define. A thing has the same name on every span.
const (
	ProductIDKey = attribute.Key("driftless.product.id")
	AccountKey   = attribute.Key("driftless.account")
	VersionKey   = attribute.Key("driftless.version")
	// ProductCountKey is the number of products that a span is about, if several.
	ProductCountKey = attribute.Key("driftless.product.count")
	// TransactionKey is the id of the transaction in Postgres that changed the catalog.
	TransactionKey = attribute.Key("driftless.transaction.id")
	// OutcomeKey is the result of the work, one of the outcomes below.
	OutcomeKey = attribute.Key("driftless.outcome")
	// AttemptKey counts the deliveries of a message, from 1.
	AttemptKey = attribute.Key("driftless.attempt")
	// QueueTimeKey is the time in milliseconds from the storing of a message to its delivery.
	QueueTimeKey = attribute.Key("driftless.queue.time_ms")
	// RetryDelayKey is the delay in milliseconds until the work is retried.
	RetryDelayKey = attribute.Key("driftless.retry.delay_ms")
	// FieldsKey lists the fields that are written back to the catalog, in Stripe's names.
	FieldsKey = attribute.Key("driftless.fields")
	// StepKey describes a step of a plan.
	StepKey = attribute.Key("driftless.step")
	// StepCountKey is the number of calls of a plan.
	StepCountKey = attribute.Key("driftless.step.count")
	// IdempotencyKeyKey is the idempotency key of a call to Stripe.
	IdempotencyKeyKey = attribute.Key("driftless.idempotency_key")
	// GuardRulesKey lists the rules that hold a change.
	GuardRulesKey = attribute.Key("driftless.guard.rules")
	// GuardFindingKey is what one of them has found, in words.
	GuardFindingKey = attribute.Key("driftless.guard.finding")
	// CarriedByKey is the trace that continues a superseded change. The span also links to it.
	CarriedByKey = attribute.Key("driftless.carried_by.trace_id")
	// CarriesKey is the number of superseded changes that a pass applies, as far as its links show.
	CarriesKey = attribute.Key("driftless.carries.count")
	// KeptKey marks an unsampled trace. The part of this process was exported because something in it failed.
	KeptKey = attribute.Key("driftless.kept")
	// DriftKindsKey, DriftFieldsKey and DriftCausesKey list what drifted, and who caused it.
	DriftKindsKey  = attribute.Key("driftless.drift.kinds")
	DriftFieldsKey = attribute.Key("driftless.drift.fields")
	DriftCausesKey = attribute.Key("driftless.drift.causes")
	// DeadReasonKey is the reason of a dead letter.
	DeadReasonKey = attribute.Key("driftless.dead.reason")

	StripeRequestIDKey   = attribute.Key("stripe.request_id")
	StripeEventIDKey     = attribute.Key("stripe.event_id")
	StripeEventTypeKey   = attribute.Key("stripe.event_type")
	StripeReplayedKey    = attribute.Key("stripe.idempotent_replayed")
	StripeRateLimitedKey = attribute.Key("stripe.rate_limited_reason")

	// NATSStreamKey is the stream of a message. The conventions have no attributes for NATS. They want those of a
	// system below messaging and its name.
	NATSStreamKey   = attribute.Key("messaging.nats.stream")
	NATSSequenceKey = attribute.Key("messaging.nats.stream.sequence")

	discardedKey = attribute.Key("driftless.discarded")
)

// Outcomes of spans.
const (
	// OutcomeApplied means that Stripe now has the desired state.
	OutcomeApplied = "applied"
	// OutcomeUnchanged means that there was nothing to do.
	OutcomeUnchanged = "unchanged"
	// OutcomeWrittenBack means that Stripe's values were written to the catalog.
	OutcomeWrittenBack = "written_back"
	// OutcomeSuperseded means that a later state includes the change.
	OutcomeSuperseded = "superseded"
	// OutcomeRetry means that the work failed or is not possible yet, and is retried.
	OutcomeRetry = "retry"
	// OutcomeDead means that the work ended with a dead letter.
	OutcomeDead = "dead"
	// OutcomeHeld means that the guard holds the change until it is approved, or until the catalog has another state.
	OutcomeHeld = "held"
	// OutcomeConfirmed means that Stripe's event confirms a call.
	OutcomeConfirmed = "confirmed"
	// OutcomeObserved means that Stripe's event reports a change by others.
	OutcomeObserved = "observed"
	// OutcomeSeen means that Stripe's event was already known.
	OutcomeSeen = "seen"
	// OutcomeReplayed means that a dead letter is replayed.
	OutcomeReplayed = "replayed"
	// OutcomeDrifted means that catalog and Stripe have differed for longer than the grace period.
	OutcomeDrifted = "drifted"
)

// Fail sets the status of a span to failed. It does nothing if err is nil.
func Fail(span trace.Span, err error) {
	if err == nil || !span.IsRecording() {
		return
	}
	span.SetStatus(codes.Error, err.Error())
	span.SetAttributes(semconv.ErrorTypeKey.String(errorType(err)))
}

// FailDead sets the status of a span to failed: the work ended with a dead letter.
func FailDead(span trace.Span, reason, message string) {
	span.SetStatus(codes.Error, message)
	span.SetAttributes(OutcomeKey.String(OutcomeDead), DeadReasonKey.String(reason),
		semconv.ErrorTypeKey.String(reason))
}

// errorType returns a short name of an error's class.
func errorType(err error) string {
	var typed interface{ ErrorType() string }
	var network net.Error
	switch {
	case errors.As(err, &typed):
		return typed.ErrorType()
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return "timeout"
	case network != nil:
		return "network"
	default:
		return semconv.ErrorTypeOther.Value.AsString()
	}
}

// Discard prevents the export of a span. It is for work that is not possible yet and starts again: the span of the last
// attempt is enough. No span below it may be exported.
func Discard(span trace.Span) { span.SetAttributes(discardedKey.Bool(true)) }
