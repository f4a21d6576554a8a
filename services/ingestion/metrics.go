package ingestion

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/driftless-sync/driftless/services/internal/metrics"
)

// recordMetrics records the metrics of a stored batch. Each transaction's duration is recorded in its own trace.
func recordMetrics(ctx context.Context, b *batch) {
	metrics.CaptureProducts.Add(ctx, int64(len(b.out)))
	spans := b.spans
	for _, c := range b.chunks {
		if c.Size() == 0 {
			continue
		}
		chunkCtx := ctx
		if len(spans) > 0 {
			chunkCtx, spans = trace.ContextWithSpan(ctx, spans[0]), spans[1:]
		}
		metrics.CaptureDuration.Record(chunkCtx, time.Since(c.CommittedAt).Seconds())
	}
}
