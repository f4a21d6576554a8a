package push

import (
	"maps"
	"sync"
	"time"

	"github.com/driftless-sync/driftless/services/internal/mesh"
)

// failuresLast is how long failures are remembered after the last one. The product may have succeeded in another
// process since. A failing product fails again within this time, because it exceeds the longest retry delay.
const failuresLast = 2 * mesh.MaxRetryDelay

// failures counts each product's failed passes in this process since its last success. It is safe for concurrent use.
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

// add counts a failure and returns the new count.
func (f *failures) add(product string, now time.Time) uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sweep(now)
	n := f.of[product].n + 1
	f.of[product] = failed{n, now}
	return n
}

// atLeast raises the count to that of another process, or of this one before a restart.
func (f *failures) atLeast(product string, n uint64, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.of[product] = failed{max(f.of[product].n, n), now}
}

// clear resets a product's count and reports whether it was above zero.
func (f *failures) clear(product string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, had := f.of[product]
	delete(f.of, product)
	return had
}

// sweep deletes counts that are too old. The caller holds the lock.
func (f *failures) sweep(now time.Time) {
	if now.Sub(f.swept) < failuresLast/30 {
		return
	}
	f.swept = now
	maps.DeleteFunc(f.of, func(_ string, of failed) bool { return now.Sub(of.last) > failuresLast })
}
