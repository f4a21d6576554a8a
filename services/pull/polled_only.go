package pull

import (
	"sync"
	"time"
)

// polledOnly counts the events that polls have detected since the last webhook. If no webhooks arrive, it grows. It is
// safe for concurrent use.
type polledOnly struct {
	mu    sync.Mutex
	count uint64
	since time.Time
}

func (o *polledOnly) add(now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.count == 0 {
		o.since = now
	}
	o.count++
}

func (o *polledOnly) reset() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.count = 0
}

// read returns how many events there are, and when the first of them was detected.
func (o *polledOnly) read() (count uint64, since time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.count, o.since
}
