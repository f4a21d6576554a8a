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

// Attributes of spans that OpenTelemetry's conventions do not name. A thing has the same name on every span.
const (
	ProductIDKey = attribute.Key("driftless.product.id")
	AccountKey   = attribute.Key("driftless.account")
	VersionKey   = attribute.Key("driftless.version")
	// ProductCountKey: how many products a span is about, if several.
	ProductCountKey = attribute.Key("driftless.product.count")
	// OutcomeKey: what became of the work, one of the outcomes below.
	OutcomeKey = attribute.Key("driftless.outcome")
	// AttemptKey counts the deliveries of a message, from 1.
	AttemptKey = attribute.Key("driftless.attempt")
	// QueueTimeKey: milliseconds from the storing of a message to the delivery that the span is about.
	QueueTimeKey = attribute.Key("driftless.queue.time_ms")
	// RetryDelayKey: milliseconds until the work is tried again.
	RetryDelayKey = attribute.Key("driftless.retry.delay_ms")
	// FieldsKey: the fields that are written back to the catalog, in Stripe's names.
	FieldsKey = attribute.Key("driftless.fields")
	// StepKey: a step of a plan, in words.
	StepKey = attribute.Key("driftless.step")
	// StepCountKey: how many calls a plan has.
	StepCountKey = attribute.Key("driftless.step.count")
	// IdempotencyKeyKey is the key that a call to Stripe is made with.
	IdempotencyKeyKey = attribute.Key("driftless.idempotency_key")
	// CarriedByKey: the trace that carries a superseded change on. The span links there too.
	CarriedByKey = attribute.Key("driftless.carried_by.trace_id")
	// CarriesKey: how many superseded changes a pass carries, as far as its links tell.
	CarriesKey = attribute.Key("driftless.carries.count")
	// KeptKey: the trace was not sampled, and this process's part of it is there because something in it failed.
	KeptKey = attribute.Key("driftless.kept")
	// DeadReasonKey: the class of failure of a dead letter.
	DeadReasonKey = attribute.Key("driftless.dead.reason")

	StripeRequestIDKey   = attribute.Key("stripe.request_id")
	StripeEventIDKey     = attribute.Key("stripe.event_id")
	StripeEventTypeKey   = attribute.Key("stripe.event_type")
	StripeReplayedKey    = attribute.Key("stripe.idempotent_replayed")
	StripeRateLimitedKey = attribute.Key("stripe.rate_limited_reason")

	NATSStreamKey   = attribute.Key("nats.stream")
	NATSSequenceKey = attribute.Key("nats.stream_sequence")

	discardedKey = attribute.Key("driftless.discarded")
)

// Outcomes of spans.
const (
	// OutcomeApplied: Stripe was made equal to the desired state.
	OutcomeApplied = "applied"
	// OutcomeUnchanged: there was nothing to do.
	OutcomeUnchanged = "unchanged"
	// OutcomeWrittenBack: the catalog was given Stripe's values.
	OutcomeWrittenBack = "written_back"
	// OutcomeSuperseded: a newer state carries the change.
	OutcomeSuperseded = "superseded"
	// OutcomeRetry: it failed, or cannot be done yet, and is tried again.
	OutcomeRetry = "retry"
	// OutcomeDead: it was given up, as a dead letter.
	OutcomeDead = "dead"
	// OutcomeConfirmed: Stripe's event tells that a call took effect.
	OutcomeConfirmed = "confirmed"
	// OutcomeObserved: Stripe's event told of what somebody else did.
	OutcomeObserved = "observed"
	// OutcomeSeen: Stripe's event was known already.
	OutcomeSeen = "seen"
	// OutcomeReplayed: a dead letter is tried again.
	OutcomeReplayed = "replayed"
	// OutcomeDrifted: catalog and Stripe have differed for too long.
	OutcomeDrifted = "drifted"
)

// Fail says of a span that its work failed. A nil error says nothing.
func Fail(span trace.Span, err error) {
	if err == nil || !span.IsRecording() {
		return
	}
	span.SetStatus(codes.Error, err.Error())
	span.SetAttributes(semconv.ErrorTypeKey.String(errorType(err)))
}

// errorType is one of few words.
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

// Discard keeps a span from being exported: of work that turned out not to be possible yet, and is begun again, the
// last attempt says everything. No span that was begun below it may be exported.
func Discard(span trace.Span) { span.SetAttributes(discardedKey.Bool(true)) }
