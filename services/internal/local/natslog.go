package local

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
)

// natsLogger passes the NATS server's messages to slog, and keeps the first fatal one. The server only logs why it
// could not start, and expects its logger to end the process.
type natsLogger struct {
	log *slog.Logger

	mu    sync.Mutex
	fatal error
}

// Fatal returns the first fatal message, or nil.
func (l *natsLogger) Fatal() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fatal
}

func (l *natsLogger) Noticef(format string, v ...any) { l.say(slog.LevelDebug, format, v) }
func (l *natsLogger) Warnf(format string, v ...any)   { l.say(slog.LevelWarn, format, v) }
func (l *natsLogger) Errorf(format string, v ...any)  { l.say(slog.LevelError, format, v) }
func (l *natsLogger) Debugf(format string, v ...any)  { l.say(slog.LevelDebug, format, v) }
func (l *natsLogger) Tracef(format string, v ...any)  { l.say(slog.LevelDebug, format, v) }

func (l *natsLogger) Fatalf(format string, v ...any) {
	l.say(slog.LevelError, format, v)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fatal == nil {
		l.fatal = fmt.Errorf(format, v...)
	}
}

func (l *natsLogger) say(level slog.Level, format string, v []any) {
	l.log.Log(context.Background(), level, fmt.Sprintf(format, v...)) //nolint:sloglint // the server chooses the words
}
