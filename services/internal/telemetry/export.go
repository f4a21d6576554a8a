package telemetry

import (
	"context"
	"log/slog"
	"sync"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// maxLoggedError is the maximum length of a logged error, in characters: a collector's answer may be a page.
const maxLoggedError = 500

// exporter logs once that spans cannot be exported, and once that they can again. The number of spans that wait for a
// collector is limited, and those beyond are dropped. Nothing else waits for it.
type exporter struct {
	sdktrace.SpanExporter

	logger *slog.Logger
	// ended cancels the export in progress.
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
			ctx, "spans cannot be exported and are lost: check OTEL_EXPORTER_OTLP_ENDPOINT and the collector",
			"error", shortened(err.Error()))
	case err != nil:
		e.lost += len(spans)
	case !e.since.IsZero():
		e.logger.InfoContext(ctx, "span export recovered", "after", time.Since(e.since).Round(time.Second),
			"lost_at_least", e.lost)
		e.since = time.Time{}
	}
	// The error was logged. OpenTelemetry's own handler would repeat it with every batch.
	return nil
}

func shortened(s string) string {
	if r := []rune(s); len(r) > maxLoggedError {
		return string(r[:maxLoggedError]) + "..."
	}
	return s
}

// errorHandler logs OpenTelemetry's own errors, at most once a minute.
type errorHandler struct {
	logger *slog.Logger

	mu   sync.Mutex
	last time.Time
}

func (t *errorHandler) Handle(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now := time.Now(); now.Sub(t.last) >= time.Minute {
		t.last = now
		t.logger.Warn("OpenTelemetry failed", "error", shortened(err.Error()))
	}
}
