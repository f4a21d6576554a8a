package control

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

const (
	// countAge is for how long a count is returned again. An answer says when it was counted.
	countAge = 2 * time.Second
	// maxCounts is how many counts are kept.
	maxCounts = 256
)

// counted is a count of products, and when it was made.
type counted struct {
	at     time.Time
	count  ledger.Count
	facets ledger.FacetCounts
}

// countCache keeps counts of products for a moment: pages that somebody turns, and consoles that look at the same list,
// need the same ones. It is safe for concurrent use.
type countCache struct {
	now func() time.Time

	mu   sync.Mutex
	kept map[string]counted
}

func newCountCache(now func() time.Time) *countCache {
	if now == nil {
		now = time.Now
	}
	return &countCache{now: now, kept: map[string]counted{}}
}

// total returns how many products a filter selects.
func (c *countCache) total(ctx context.Context, l *ledger.Ledger, f ledger.ProductFilter) (counted, error) {
	return c.get(fmt.Sprintf("total %#v", f), func(out *counted) (err error) {
		out.count, err = l.CountProducts(ctx, f)
		return err
	})
}

// facets returns how many products a filter selects, by facet.
func (c *countCache) facets(ctx context.Context, l *ledger.Ledger, f ledger.ProductFilter) (counted, error) {
	return c.get(fmt.Sprintf("facets %#v", f), func(out *counted) (err error) {
		out.facets, err = l.CountFacets(ctx, f)
		return err
	})
}

// get returns a kept count, or else counts. The time is that before the count: what changes meanwhile may be missing.
func (c *countCache) get(key string, count func(*counted) error) (counted, error) {
	now := c.now()
	c.mu.Lock()
	known, ok := c.kept[key]
	c.mu.Unlock()
	if age := now.Sub(known.at); ok && age >= 0 && age < countAge {
		return known, nil
	}
	fresh := counted{at: now}
	if err := count(&fresh); err != nil {
		return fresh, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, old := range c.kept {
		if age := now.Sub(old.at); age < 0 || age >= countAge {
			delete(c.kept, k)
		}
	}
	if len(c.kept) < maxCounts {
		c.kept[key] = fresh
	}
	return fresh, nil
}
