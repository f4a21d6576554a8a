package ingestion

import (
	"sync"
	"time"
)

// remembered is the minimum time for which an id is kept. It is longer than the lag of a replica of a stream.
const remembered = 30 * time.Second

// lately keeps the products that were stored in the last 30 s to 60 s, or that are about to be stored. Safe for
// concurrent use.
type lately struct {
	mu             sync.Mutex
	current, older map[string]bool
	turned         time.Time
}

func (l *lately) add(ids ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); l.current == nil || now.Sub(l.turned) > remembered {
		l.current, l.older, l.turned = map[string]bool{}, l.current, now
	}
	for _, id := range ids {
		l.current[id] = true
	}
}

func (l *lately) has(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.current[id] || l.older[id]
}
