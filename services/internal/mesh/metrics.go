package mesh

import (
	"context"
	"time"

	"github.com/driftless-sync/driftless/services/internal/metrics"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// count records a handled delivery.
func count(ctx context.Context, c topology.Consumer, delivered uint64, v Verdict, begun time.Time) {
	at := []metrics.Attribute{metrics.Stream.With(c.Stream), metrics.Consumer.With(c.Name)}
	if delivered > 1 {
		metrics.Redeliveries.Add(ctx, 1, at...)
	}
	metrics.MessageDuration.Record(ctx, time.Since(begun).Seconds(), append(at, metrics.Verdict.With(v.name()))...)
}

// name returns the verdict's value of the metrics' label.
func (v Verdict) name() string {
	switch v.decision {
	case ack:
		return "ack"
	case dead:
		return "dead"
	case retry:
		if v.err == nil {
			return "wait"
		}
		return "retry"
	default:
		return "retry"
	}
}
