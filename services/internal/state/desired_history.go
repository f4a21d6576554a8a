package state

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/trace"

	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// historyTimeout bounds a read that serves only traces.
const historyTimeout = 2 * time.Second

// Change is the origin of a desired state: its version, and the trace that it was published in.
type Change struct {
	Version uint64
	Sent    trace.SpanContext
}

// History returns the changes of a product that CATALOG still has, at most topology.MaxStatesPerProduct of each lane,
// in the order in which they were stored. It leaves out changes without a trace, and those that are not authentic.
func (s *DesiredStore) History(ctx context.Context, account, product string) ([]Change, error) {
	ctx, cancel := context.WithTimeout(ctx, historyTimeout)
	defer cancel()
	subject := "catalog." + account + ".*." + topology.Token(product)
	var out []Change
	err := s.catalog().EachHistory(ctx, []string{subject}, nil, func(_ int, kept []*jetstream.RawStreamMsg) error {
		for _, msg := range kept {
			if mesh.CheckRepublished(msg.Header) != nil {
				continue
			}
			if _, err := s.m.Authenticate(msg.Subject, msg); err != nil {
				continue
			}
			sent := trace.SpanContextFromContext(telemetry.ExtractNATS(context.WithoutCancel(ctx), msg.Header))
			if sent.IsValid() {
				out = append(out, Change{versionOf(msg), sent})
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the history on %s: %w", subject, err)
	}
	return out, nil
}
