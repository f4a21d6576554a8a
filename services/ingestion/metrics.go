package ingestion

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/driftless-sync/driftless/services/internal/metrics"
)

// counted records what a stored batch captured, each transaction's time as part of its own trace.
func counted(ctx context.Context, b *batch) {
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
