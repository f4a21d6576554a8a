package push

import (
	"maps"
	"sync"
	"time"

	"github.com/driftless-sync/driftless/services/internal/mesh"
)

// maxFailureAge is how long failures are remembered after the last one. The product may have succeeded in another
// process since. A failing product fails again within this time, because it exceeds the longest retry delay.
const maxFailureAge = 2 * mesh.MaxRetryDelay

// failures counts each product's failed passes in this process since its last success. It is safe for concurrent use.
type failures struct {
	mu        sync.Mutex
	byProduct map[string]failureCount
	swept     time.Time
}

type failureCount struct {
	count uint64
	last  time.Time
}

func newFailures() *failures { return &failures{byProduct: map[string]failureCount{}} }

// add counts a failure and returns the new count.
func (f *failures) add(product string, now time.Time) uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sweep(now)
	n := f.byProduct[product].count + 1
	f.byProduct[product] = failureCount{n, now}
	return n
}

// raise raises the count to that of another process, or of this one before a restart.
func (f *failures) raise(product string, n uint64, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.byProduct[product] = failureCount{max(f.byProduct[product].count, n), now}
}

// clear resets a product's count and reports whether it was above zero.
func (f *failures) clear(product string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, had := f.byProduct[product]
	delete(f.byProduct, product)
	return had
}

// sweep deletes counts that are too old. The caller holds the lock.
func (f *failures) sweep(now time.Time) {
	if now.Sub(f.swept) < maxFailureAge/30 {
		return
	}
	f.swept = now
	maps.DeleteFunc(f.byProduct, func(_ string, of failureCount) bool { return now.Sub(of.last) > maxFailureAge })
}
