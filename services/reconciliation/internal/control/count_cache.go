package control

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

const (
	// countAge is for how long a count is returned again. An answer says when it was counted.
	countAge = 2 * time.Second
	// countTimeout is how long a count may take.
	countTimeout = 10 * time.Second
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

	// counting lets callers that want the same count at the same time share one.
	counting singleflight.Group

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
	return c.get(ctx, fmt.Sprintf("total %#v", f), func(ctx context.Context, out *counted) (err error) {
		out.count, err = l.CountListed(ctx, f)
		return err
	})
}

// facets returns how many products a filter selects, by facet.
func (c *countCache) facets(ctx context.Context, l *ledger.Ledger, f ledger.ProductFilter) (counted, error) {
	return c.get(ctx, fmt.Sprintf("facets %#v", f), func(ctx context.Context, out *counted) (err error) {
		out.facets, err = l.CountFacets(ctx, f)
		return err
	})
}

// get returns a kept count, or else counts. The time is that before the count: what changes meanwhile may be missing.
func (c *countCache) get(ctx context.Context, key string,
	count func(context.Context, *counted) error,
) (counted, error) {
	if known, ok := c.recent(key); ok {
		return known, nil
	}
	done := c.counting.DoChan(key, func() (any, error) {
		// The caller may leave while others wait for the same count.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), countTimeout)
		defer cancel()
		fresh := counted{at: c.now()}
		if err := count(ctx, &fresh); err != nil {
			return fresh, err
		}
		c.keep(key, fresh)
		return fresh, nil
	})
	select {
	case <-ctx.Done():
		return counted{}, context.Cause(ctx)
	case result := <-done:
		fresh, _ := result.Val.(counted)
		return fresh, result.Err
	}
}

// recent returns a count that is kept and not too old.
func (c *countCache) recent(key string) (counted, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known, ok := c.kept[key]
	return known, ok && c.isRecent(known)
}

func (c *countCache) isRecent(known counted) bool {
	age := c.now().Sub(known.at)
	return age >= 0 && age < countAge
}

// keep keeps a count, unless very many are kept that are not old.
func (c *countCache) keep(key string, fresh counted) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, known := range c.kept {
		if !c.isRecent(known) {
			delete(c.kept, k)
		}
	}
	if len(c.kept) < maxCounts {
		c.kept[key] = fresh
	}
}
