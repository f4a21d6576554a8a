package mesh

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/trace"

	"github.com/driftless-sync/driftless/services/internal/telemetry"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// historyTimeout bounds a reading that only traces are made of.
const historyTimeout = 2 * time.Second

// Change is where a desired state came from: its version, and the trace that it was published in.
type Change struct {
	Version uint64
	Sent    trace.SpanContext
}

// History returns what CATALOG still holds of a product, 16 states of each lane at most, in the order in which they
// were stored. Changes that came without a trace, or are not authentic, are left out.
func (s *DesiredStore) History(ctx context.Context, account, product string) ([]Change, error) {
	ctx, cancel := context.WithTimeout(ctx, historyTimeout)
	defer cancel()
	subject := "catalog." + account + ".*." + topology.Token(product)
	var out []Change
	err := s.m.keptMany(ctx, topology.StreamCatalog, []string{subject}, func(_ int, kept []*nats.Msg) error {
		for _, msg := range kept {
			if checkRepublished(ownHeaders(msg.Header)) != nil ||
				s.m.authentic(storedOn(msg.Header), msg.Header, msg.Data, time.Time{}) != nil {
				continue
			}
			sent := trace.SpanContextFromContext(telemetry.ExtractNATS(context.WithoutCancel(ctx), msg.Header))
			if sent.IsValid() {
				out = append(out, Change{headerVersion(msg.Header), sent})
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the history on %s: %w", subject, err)
	}
	return out, nil
}
