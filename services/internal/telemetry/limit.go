package telemetry

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// A failure that goes on says so a few times, not a thousand times: of warnings and errors with the same words only so
// many are written within a window; the others are counted, and told when it ends.
const (
	limitWindow = time.Minute
	limitBurst  = 10
)

// limited holds back repeated warnings and errors. Records below pass: there is none of them for each message.
type limited struct {
	slog.Handler

	limits *limits
}

// limits are shared by all loggers made from one. A window of a message begins with its first record.
type limits struct {
	mu      sync.Mutex
	windows map[string]*window
}

type window struct {
	records int
	// last is the newest record that was held back, and to whom it would have gone.
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

// full counts a record, and says whether it is one too many.
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

// end ends a window: the newest record that was held back is written, with the number of all that were.
func (l *limits) end(message string) {
	l.mu.Lock()
	w := l.windows[message]
	delete(l.windows, message)
	l.mu.Unlock()
	if held := w.records - limitBurst; held > 0 {
		r := w.last.Clone()
		r.AddAttrs(slog.Int("held_back", held-1))
		_ = w.to.Handle(w.traced, r)
	}
}
