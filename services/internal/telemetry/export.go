package telemetry

import (
	"context"
	"log/slog"
	"sync"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// longestReason is how much of an error is logged: a collector's answer may be a page.
const longestReason = 500

// exporter logs once that spans cannot be exported and once that they can again. Spans that wait for a collector are
// bounded in number, and those beyond are dropped: nothing else waits for it.
type exporter struct {
	sdktrace.SpanExporter

	logger *slog.Logger
	// ended cuts off what is being exported.
	ended context.Context //nolint:containedctx // the exporter's own life

	mu    sync.Mutex
	since time.Time
	lost  int
}

func (e *exporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(e.ended, cancel)()
	err := e.SpanExporter.ExportSpans(ctx, spans)
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case err != nil && e.ended.Err() != nil:
	case err != nil && e.since.IsZero():
		e.since, e.lost = time.Now(), len(spans)
		e.logger.WarnContext(
			ctx, "spans cannot be exported, and are lost until they can: check OTEL_EXPORTER_OTLP_ENDPOINT and the collector", "error", shortened(err.Error()))
	case err != nil:
		e.lost += len(spans)
	case !e.since.IsZero():
		e.logger.InfoContext(ctx, "spans are exported again", "after", time.Since(e.since).Round(time.Second),
			"lost_at_least", e.lost)
		e.since = time.Time{}
	}
	// It is logged: OpenTelemetry's own handler would say it again with every batch.
	return nil
}

func shortened(s string) string {
	if r := []rune(s); len(r) > longestReason {
		return string(r[:longestReason]) + "..."
	}
	return s
}

// troubles logs what OpenTelemetry itself complains about, once a minute at most.
type troubles struct {
	logger *slog.Logger

	mu   sync.Mutex
	last time.Time
}

func (t *troubles) Handle(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now := time.Now(); now.Sub(t.last) >= time.Minute {
		t.last = now
		t.logger.Warn("OpenTelemetry", "error", shortened(err.Error()))
	}
}
