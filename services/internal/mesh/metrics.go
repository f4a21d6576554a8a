package mesh

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/driftless-sync/driftless/services/internal/metrics"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// observeConnection reports whether the client is connected, until the returned function is called. The client itself
// is not asked: it holds its lock while it waits for a server.
func observeConnection(connected *atomic.Bool) (stop func()) {
	return metrics.Observe(func(report metrics.Report) {
		value := 0.0
		if connected.Load() {
			value = 1
		}
		report(metrics.Connected, value)
	}, metrics.Connected)
}

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
