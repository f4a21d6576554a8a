package ingestion

import (
	"sync"
	"time"
)

// recentRetention is the minimum time for which an id is kept. It is longer than the lag of a replica of a stream.
const recentRetention = 30 * time.Second

// recentProducts keeps the products that were stored in the last 30 s to 60 s, or that are about to be stored. Safe for
// concurrent use.
type recentProducts struct {
	mu             sync.Mutex
	current, older map[string]bool
	rotatedAt      time.Time
}

func (l *recentProducts) add(ids ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); l.current == nil || now.Sub(l.rotatedAt) > recentRetention {
		l.current, l.older, l.rotatedAt = map[string]bool{}, l.current, now
	}
	for _, id := range ids {
		l.current[id] = true
	}
}

func (l *recentProducts) has(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.current[id] || l.older[id]
}
