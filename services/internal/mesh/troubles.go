package mesh

import (
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// troubleEvery is the minimum interval between two logs of the same connection error.
	troubleEvery = time.Minute
	// troublesKept limits the memory for errors with changing texts.
	troublesKept = 256
)

// troubles logs the errors that a connection reports outside of calls, each at most once a minute. Safe for concurrent
// use.
type troubles struct {
	mu   sync.Mutex
	told map[string]time.Time
	// hidden counts the errors that were not logged since then.
	hidden map[string]int
}

func (t *troubles) log(logger *slog.Logger, err error) {
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
func (t *troubles) due(text string, now time.Time) (hidden int, due bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.told == nil || len(t.told) >= troublesKept {
		t.told, t.hidden = map[string]time.Time{}, map[string]int{}
	}
	if last, ok := t.told[text]; ok && now.Sub(last) < troubleEvery {
		t.hidden[text]++
		return 0, false
	}
	hidden = t.hidden[text]
	t.told[text] = now
	delete(t.hidden, text)
	return hidden, true
}
