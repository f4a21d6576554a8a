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

// NewLogger writes records as text or JSON, with the ids of the trace they were made in; "auto" is as LogFormat says.
// The level is debug, info, warn or error. Of warnings and errors that repeat themselves only some are written.
func NewLogger(w io.Writer, level, format string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("log level %q: must be debug, info, warn or error", level)
	}
	o := &slog.HandlerOptions{Level: l}
	switch LogFormat(w, format) {
	case "text":
		// Its handler quotes messages and values that hold anything but printable characters.
		return slog.New(newLimited(traced{slog.NewTextHandler(w, o)})), nil
	case "json":
		return slog.New(newLimited(traced{slog.NewJSONHandler(harmless{w}, o)})), nil
	default:
		return nil, fmt.Errorf("log format %q: must be auto, text or json", format)
	}
}

// harmless writes records in JSON that people may read on a terminal: the handler escapes only some of what acts on
// one.
type harmless struct{ w io.Writer }

func (h harmless) Write(record []byte) (int, error) {
	if _, err := h.w.Write(visible.JSON(record)); err != nil {
		return 0, err
	}
	return len(record), nil
}

// LogFormat resolves "auto": text for people at a terminal, else JSON, for what collects logs.
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
