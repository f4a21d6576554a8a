package mesh

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/synadia-io/orbit.go/jetstreamext"
	"go.opentelemetry.io/otel/trace"

	"github.com/driftless-sync/driftless/services/telemetry"
)

// historyTimeout bounds a reading that only traces are made of.
const historyTimeout = 2 * time.Second

// Change is where a desired state came from: its version, and the trace that it was published in.
type Change struct {
	Version uint64
	Sent    trace.SpanContext
}

// History returns what CATALOG still holds of a product, 16 states of each lane at most, in the order in which they were
// stored. Changes that came without a trace are left out.
func (s *DesiredStore) History(ctx context.Context, account, product string) ([]Change, error) {
	const most = 64
	ctx, cancel := context.WithTimeout(ctx, historyTimeout)
	defer cancel()
	subject := "catalog." + account + ".*." + Token(product)
	messages, err := jetstreamext.GetBatch(ctx, s.m.js, StreamCatalog, most, jetstreamext.GetBatchSubject(subject))
	if err != nil {
		return nil, fmt.Errorf("read the history on %s: %w", subject, err)
	}
	var out []Change
	for msg, err := range messages {
		if errors.Is(err, jetstreamext.ErrNoMessages) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read the history on %s: %w", subject, err)
		}
		if checkRepublished(ownHeaders(msg.Header)) != nil {
			continue
		}
		sent := trace.SpanContextFromContext(telemetry.ExtractNATS(context.WithoutCancel(ctx), msg.Header))
		if sent.IsValid() {
			out = append(out, Change{headerVersion(msg.Header), sent})
		}
	}
	return out, nil
}
