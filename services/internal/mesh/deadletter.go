package mesh

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/metrics"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// DeadLetter stores a letter on DEAD, in place of an older one of the same service and product. Service, account and
// product must be set. It fills in the id, the times and the trace if they are missing. Every letter can be stored: see
// FitLetter.
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
	m.fit(letter)
	metrics.DeadLetters.Add(ctx, 1, metrics.DeadReason.Of(letter.GetReason()))
	m.logger.ErrorContext(ctx, "dead letter", "product", letter.GetProductId(), "reason", letter.GetReason(),
		"message", letter.GetMessage())
	return m.Publish(ctx, topology.DeadSubject(letter.GetService(), letter.GetAccount(), letter.GetProductId()), letter,
		WithID(letter.GetId()), WithVersion(letter.GetVersion()))
}

func (m *Mesh) fit(letter *meshv1.DeadLetter) { FitLetter(letter, m.MaxBody()) }

// OpenLetters returns the service's dead letters of the products, in the order of the ids; nil for a product without
// one.
func (m *Mesh) OpenLetters(ctx context.Context, service, account string,
	products []string,
) ([]*meshv1.DeadLetter, error) {
	subjects := make([]string, len(products))
	for i, id := range products {
		subjects[i] = topology.DeadSubject(service, account, id)
	}
	open := make([]*meshv1.DeadLetter, len(products))
	err := m.Stream(topology.StreamDead).EachLast(ctx, subjects, func(i int, msg *jetstream.RawStreamMsg) error {
		if msg == nil {
			return nil
		}
		open[i] = &meshv1.DeadLetter{}
		if err := proto.Unmarshal(msg.Data, open[i]); err != nil {
			return fmt.Errorf("the message on %s is not a dead letter: %w", subjects[i], err)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the dead letters of %d products: %w", len(products), err)
	}
	return open, nil
}

// DeleteLetter removes a letter from DEAD. A later letter in its place stays. It is not an error if the letter is
// already gone.
func (m *Mesh) DeleteLetter(ctx context.Context, letter *meshv1.DeadLetter) error {
	stream, err := m.boundStream(ctx, topology.StreamDead)
	if err != nil {
		return err
	}
	subject := topology.DeadSubject(letter.GetService(), letter.GetAccount(), letter.GetProductId())
	msg, err := m.lastOf(ctx, stream, subject)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return nil
	case err != nil:
		return fmt.Errorf("read the dead letter on %s: %w", subject, err)
	}
	stored := &meshv1.DeadLetter{}
	if err := proto.Unmarshal(msg.Data, stored); err != nil {
		return fmt.Errorf("the message on %s is not a dead letter: %w", subject, err)
	}
	if stored.GetId() != letter.GetId() {
		return nil
	}
	// Delete by sequence, not by subject: a letter that was stored since then stays.
	if err := m.deleteMessage(ctx, stream, msg.Sequence); err != nil {
		return fmt.Errorf("remove the dead letter on %s: %w", subject, err)
	}
	return nil
}
