package mesh

import (
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// errorLogInterval is the minimum interval between two logs of the same connection error.
	errorLogInterval = time.Minute
	// maxLoggedErrors limits the memory for errors with changing texts.
	maxLoggedErrors = 256
)

// errorLog logs the errors that a connection reports outside of calls, each at most once a minute. Safe for concurrent
// use.
type errorLog struct {
	mu       sync.Mutex
	loggedAt map[string]time.Time
	// suppressed counts the errors that were not logged since then.
	suppressed map[string]int
}

func (t *errorLog) log(logger *slog.Logger, err error) {
	hidden, now := t.due(err.Error(), time.Now())
	switch {
	case !now:
	case errors.Is(err, nats.ErrSlowConsumer):
		logger.Warn("NATS messages were dropped because they came too fast; JetStream redelivers them",
			"error", err, "not_logged", hidden)
	default:
		logger.Error("NATS connection error", "error", err, "not_logged", hidden)
	}
}

// due reports whether an error should be logged now, and how often it was not logged since the last time.
func (t *errorLog) due(text string, now time.Time) (hidden int, due bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.loggedAt == nil || len(t.loggedAt) >= maxLoggedErrors {
		t.loggedAt, t.suppressed = map[string]time.Time{}, map[string]int{}
	}
	if last, ok := t.loggedAt[text]; ok && now.Sub(last) < errorLogInterval {
		t.suppressed[text]++
		return 0, false
	}
	hidden = t.suppressed[text]
	t.loggedAt[text] = now
	delete(t.suppressed, text)
	return hidden, true
}
