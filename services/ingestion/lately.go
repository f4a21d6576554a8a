package ingestion

import (
	"sync"
	"time"
)

// remembered is how long at least an id is known to have been stored lately: longer than a replica of a stream lags
// behind.
const remembered = 30 * time.Second

// lately remembers the products that were stored in the last half minute or two, or that are about to be. Safe for
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
