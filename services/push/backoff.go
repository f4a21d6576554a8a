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
	// first is when the first pass failed.
	first, last time.Time
}

func newFailures() *failures { return &failures{byProduct: map[string]failureCount{}} }

// add counts a failure. It returns the new count, and when the first pass failed.
func (f *failures) add(product string, now time.Time) (n uint64, since time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sweep(now)
	of, failed := f.byProduct[product]
	if !failed {
		of.first = now
	}
	of.count, of.last = of.count+1, now
	f.byProduct[product] = of
	return of.count, of.first
}

// raise raises the count to that of another process, or of this one before a restart. since is when the first pass
// failed there; zero if that is unknown.
func (f *failures) raise(product string, n uint64, since, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	of, failed := f.byProduct[product]
	if !failed {
		of.first = now
	}
	if !since.IsZero() && since.Before(of.first) {
		of.first = since
	}
	of.count, of.last = max(of.count, n), now
	f.byProduct[product] = of
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
