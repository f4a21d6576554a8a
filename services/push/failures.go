package push

import (
	"maps"
	"sync"
	"time"

	"github.com/driftless-sync/driftless/services/internal/mesh"
)

// failuresLast is how long failures are remembered after the last one. A product that failed here may have succeeded in
// another process; with the longest delay of a retry, another failure would have come by then.
const failuresLast = 2 * mesh.MaxRetryDelay

// failures counts the passes of each product that failed in this process since one succeeded. Safe for concurrent use.
type failures struct {
	mu    sync.Mutex
	of    map[string]failed
	swept time.Time
}

type failed struct {
	n    uint64
	last time.Time
}

func newFailures() *failures { return &failures{of: map[string]failed{}} }

// add counts a failure, and returns how many there are now.
func (f *failures) add(product string, now time.Time) uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sweep(now)
	n := f.of[product].n + 1
	f.of[product] = failed{n, now}
	return n
}

// atLeast takes over the count of another process, or of this one before it was started again.
func (f *failures) atLeast(product string, n uint64, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.of[product] = failed{max(f.of[product].n, n), now}
}

// clear forgets the failures of a product, and says whether there were any.
func (f *failures) clear(product string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, had := f.of[product]
	delete(f.of, product)
	return had
}

// sweep forgets what is too long ago. The caller holds the lock.
func (f *failures) sweep(now time.Time) {
	if now.Sub(f.swept) < failuresLast/30 {
		return
	}
	f.swept = now
	maps.DeleteFunc(f.of, func(_ string, of failed) bool { return now.Sub(of.last) > failuresLast })
}
