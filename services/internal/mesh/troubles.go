package mesh

import (
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// troubleEvery is how often the same error of a connection is logged at most.
	troubleEvery = time.Minute
	// troublesKept bounds the memory for errors with changing texts.
	troublesKept = 256
)

// troubles logs what a connection reports apart from any call, each error once a minute. Safe for concurrent use.
type troubles struct {
	mu   sync.Mutex
	told map[string]time.Time
	// hidden counts what was not logged since then.
	hidden map[string]int
}

func (t *troubles) log(logger *slog.Logger, err error) {
	hidden, now := t.due(err.Error(), time.Now())
	switch {
	case !now:
	case errors.Is(err, nats.ErrSlowConsumer):
		logger.Warn("NATS messages came faster than they were taken and were dropped; JetStream delivers them again",
			"error", err, "not_logged", hidden)
	default:
		logger.Error("NATS", "error", err, "not_logged", hidden)
	}
}

// due reports whether an error is to be logged now, and how often it was not since the last time.
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
