package telemetry

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// A persistent failure is logged a few times, not a thousand times. Within a window only limitBurst warnings and errors
// with the same message are written. The others are counted, and the count is logged when the window ends.
const (
	limitWindow = time.Minute
	limitBurst  = 10
)

// limited suppresses repeated warnings and errors. Records of lower levels pass: none of them is logged per message.
type limited struct {
	slog.Handler

	limits *limits
}

// limits is shared by all loggers that derive from one. A message's window begins with its first record.
type limits struct {
	mu      sync.Mutex
	windows map[string]*window
}

type window struct {
	records int
	// last is the latest suppressed record, and to its handler.
	last   slog.Record
	to     slog.Handler
	traced context.Context //nolint:containedctx // the record's
}

func newLimited(h slog.Handler) limited {
	return limited{h, &limits{windows: map[string]*window{}}}
}

func (l limited) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn && l.limits.full(ctx, r, l.Handler) {
		return nil
	}
	return l.Handler.Handle(ctx, r)
}

func (l limited) WithAttrs(attrs []slog.Attr) slog.Handler {
	return limited{l.Handler.WithAttrs(attrs), l.limits}
}

func (l limited) WithGroup(name string) slog.Handler {
	return limited{l.Handler.WithGroup(name), l.limits}
}

// full counts a record, and reports whether it exceeds the limit.
func (l *limits) full(ctx context.Context, r slog.Record, to slog.Handler) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	w, ok := l.windows[r.Message]
	if !ok {
		w = &window{}
		l.windows[r.Message] = w
		time.AfterFunc(limitWindow, func() { l.end(r.Message) })
	}
	w.records++
	if w.records <= limitBurst {
		return false
	}
	w.last, w.to, w.traced = r, to, context.WithoutCancel(ctx)
	return true
}

// end ends a window. It writes the latest suppressed record, with the number of the other suppressed ones.
func (l *limits) end(message string) {
	l.mu.Lock()
	w := l.windows[message]
	delete(l.windows, message)
	l.mu.Unlock()
	if suppressed := w.records - limitBurst; suppressed > 0 {
		r := w.last.Clone()
		r.AddAttrs(slog.Int("held_back", suppressed-1))
		_ = w.to.Handle(w.traced, r)
	}
}
