package local

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
)

// natsLogger hands the NATS server's messages to slog, and keeps the first fatal one: the server only logs why it could
// not start, and trusts its logger to end the process.
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

func (l *natsLogger) Noticef(format string, v ...any) { l.log.Debug(fmt.Sprintf(format, v...)) }
func (l *natsLogger) Warnf(format string, v ...any)   { l.log.Warn(fmt.Sprintf(format, v...)) }
func (l *natsLogger) Errorf(format string, v ...any)  { l.log.Error(fmt.Sprintf(format, v...)) }
func (l *natsLogger) Debugf(format string, v ...any)  { l.log.Debug(fmt.Sprintf(format, v...)) }
func (l *natsLogger) Tracef(format string, v ...any)  { l.log.Debug(fmt.Sprintf(format, v...)) }

func (l *natsLogger) Fatalf(format string, v ...any) {
	message := fmt.Sprintf(format, v...)
	l.log.Error(message)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fatal == nil {
		l.fatal = errors.New(message)
	}
}
