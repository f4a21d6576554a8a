package telemetry

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"

	"go.opentelemetry.io/otel/trace"

	"github.com/driftless-sync/driftless/services/internal/visible"
)

// NewLogger returns a logger that writes text or JSON, with the ids of the record's trace. For "auto" see LogFormat.
// The level is debug, info, warn or error. Repeated warnings and errors are partly suppressed.
func NewLogger(w io.Writer, level, format string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("log level %q: must be debug, info, warn or error", level)
	}
	o := &slog.HandlerOptions{Level: l}
	switch LogFormat(w, format) {
	case "text":
		// The text handler quotes messages and values that have unprintable characters.
		return slog.New(newLimited(traced{slog.NewTextHandler(w, o)})), nil
	case "json":
		return slog.New(newLimited(traced{slog.NewJSONHandler(escapingWriter{w}, o)})), nil
	default:
		return nil, fmt.Errorf("log format %q: must be auto, text or json", format)
	}
}

// escapingWriter escapes control sequences in JSON records, which people may read on a terminal. The JSON handler
// escapes only some of them.
type escapingWriter struct{ w io.Writer }

func (h escapingWriter) Write(record []byte) (int, error) {
	if _, err := h.w.Write(visible.JSON(record)); err != nil {
		return 0, err
	}
	return len(record), nil
}

// LogFormat resolves "auto": text if w is a terminal, else JSON.
func LogFormat(w io.Writer, format string) string {
	if format != "auto" {
		return format
	}
	if f, ok := w.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			return "text"
		}
	}
	return "json"
}

// traced adds the ids of the current span to records.
type traced struct{ slog.Handler }

func (t traced) Handle(ctx context.Context, r slog.Record) error {
	if s := trace.SpanContextFromContext(ctx); s.IsValid() {
		r.AddAttrs(slog.String("trace_id", s.TraceID().String()), slog.String("span_id", s.SpanID().String()))
	}
	return t.Handler.Handle(ctx, r)
}

func (t traced) WithAttrs(attrs []slog.Attr) slog.Handler { return traced{t.Handler.WithAttrs(attrs)} }

func (t traced) WithGroup(name string) slog.Handler { return traced{t.Handler.WithGroup(name)} }
