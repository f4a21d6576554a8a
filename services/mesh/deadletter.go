package mesh

import (
	"context"

	"github.com/nats-io/nuid"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/types/known/timestamppb"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/telemetry"
)

// Reasons of dead letters: classes of failure, the same in documents, metrics and on the command line.
const (
	// ReasonInvalidProduct: the catalog's state breaks one of Stripe's rules; nothing was sent.
	ReasonInvalidProduct = "invalid_product"
	// ReasonRefused: Stripe refused a call for good.
	ReasonRefused = "refused_by_stripe"
	// ReasonNotConverging: Stripe accepted every call and still holds something else.
	ReasonNotConverging = "not_converging"
	// ReasonExhausted: an error of unknown nature stayed through every attempt.
	ReasonExhausted = "exhausted"
	// ReasonUndecodable: the message is not what its subject promises.
	ReasonUndecodable = "undecodable"
)

// DeadLetter stores a letter on DEAD, in place of an older one of the same service and product. It fills in the
// id, the times and the trace where they are missing. The letter's service, account and product must be set.
func (m *Mesh) DeadLetter(ctx context.Context, letter *meshv1.DeadLetter) error {
	if letter.GetId() == "" {
		letter.Id = nuid.Next()
	}
	now := timestamppb.Now()
	if letter.FirstAt == nil {
		letter.FirstAt = now
	}
	if letter.LastAt == nil {
		letter.LastAt = now
	}
	if letter.GetTraceparent() == "" && trace.SpanContextFromContext(ctx).IsValid() {
		letter.Traceparent = telemetry.Traceparent(ctx)
	}
	m.logger.ErrorContext(ctx, "dead letter", "product", letter.GetProductId(), "reason", letter.GetReason(), "message", letter.GetMessage())
	return m.Publish(ctx, DeadSubject(letter.GetService(), letter.GetAccount(), letter.GetProductId()), letter,
		WithID(letter.GetId()), WithVersion(letter.GetVersion()))
}
