package ingestion

import (
	"sync"
	"time"
)

// recentRetention is the minimum time for which an id is kept. It is longer than the lag of a replica of a stream.
const recentRetention = 30 * time.Second

// recentProducts remembers the products whose states were stored, or are about to be stored, for at least
// recentRetention. The zero value is empty. Safe for concurrent use.
type recentProducts struct {
	mu sync.Mutex
	// previous has the ids that were added before rotatedAt, and current those that were added since.
	previous, current map[string]bool
	rotatedAt         time.Time
}

func (p *recentProducts) add(ids ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := time.Now(); p.current == nil || now.Sub(p.rotatedAt) > recentRetention {
		p.previous, p.current, p.rotatedAt = p.current, map[string]bool{}, now
	}
	for _, id := range ids {
		p.current[id] = true
	}
}

func (p *recentProducts) has(id string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.previous[id] || p.current[id]
}
