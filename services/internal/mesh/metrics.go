package mesh

import (
	"context"
	"time"

	"github.com/driftless-sync/driftless/services/internal/metrics"
)

// count records a delivery that was handled.
func count(ctx context.Context, c Consumer, delivered uint64, v Verdict, begun time.Time) {
	at := []metrics.Attribute{metrics.Stream.Is(c.Stream), metrics.Consumer.Is(c.Name)}
	if delivered > 1 {
		metrics.Redeliveries.Add(ctx, 1, at...)
	}
	metrics.MessageDuration.Record(ctx, time.Since(begun).Seconds(), append(at, metrics.Verdict.Is(v.name()))...)
}

// name is what the verdict is called in metrics.
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
