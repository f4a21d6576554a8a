package pull

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/internal/wait"
)

// maxWriters is how many products of a page are corrected at once.
const maxWriters = 32

// maxWrites is how often the write of a product is tried while others write it. The delays between them add up to a
// fifth of a second.
const maxWrites = 20

// maxCachedProducts is how many products a lister caches. Prices are listed soon after their products.
const maxCachedProducts = 1000

// observedCache caches what one lister read from OBSERVED last. It is not safe for concurrent use.
type observedCache struct {
	entries map[string]*entry
	queue   []string
}

// entry is the observed state of a product.
type entry struct {
	observed *catalogv1.Observed
	revision uint64
	// others is the latest revision that this scan did not write.
	others uint64
	// undecodable is why the state cannot be decoded. Then it is never written.
	undecodable error
}

func newObservedCache() *observedCache { return &observedCache{entries: map[string]*entry{}} }

func (c *observedCache) put(product string, e *entry) {
	c.entries[product] = e
	c.queue = append(c.queue, product)
	for len(c.queue) > maxCachedProducts {
		delete(c.entries, c.queue[0])
		c.queue = c.queue[1:]
	}
}

// pageGroup is the objects of one Stripe product on a page.
type pageGroup struct {
	productRef

	objects []stripeapi.Listed
}

// applyPage compares a page with the observed states and corrects them. before is a revision of OBSERVED from before
// the page was requested. untracked has the ids of the page's prices that are not kept.
func (s *scan) applyPage(
	ctx context.Context, cache *observedCache, before uint64, page stripeapi.Page,
) (untracked map[string]bool, err error) {
	products, err := s.byProduct(ctx, page)
	if err != nil {
		return nil, err
	}
	entries := make(map[string]*entry, len(products))
	var unread []string
	for _, p := range products {
		if e := cache.entries[p.product]; e != nil {
			entries[p.product] = e
		} else if _, twice := entries[p.product]; !twice {
			// A product with the catalog's id and a product linked to that id may both be listed.
			entries[p.product] = nil
			unread = append(unread, p.product)
		}
	}
	read, err := s.stores.Observed().GetMany(ctx, s.account, unread)
	if err != nil {
		return nil, err
	}
	for i, e := range read {
		entries[unread[i]] = &entry{e.Observed, e.Revision, e.Revision, e.Undecodable}
		cache.put(unread[i], entries[unread[i]])
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(maxWriters)
	var mu sync.Mutex
	var stale []string
	for _, p := range products {
		e := entries[p.product]
		if e.undecodable != nil {
			g.Go(func() error { return s.failEntry(ctx, p.product, e.undecodable) })
			continue
		}
		if p.verify(e.observed) != nil {
			// Push itself reads a product that is being adopted. Nothing is recorded of a product whose id belongs to
			// another.
			continue
		}
		changed, doubtful := e.apply(p.objects, before)
		if !changed && len(doubtful) == 0 {
			continue
		}
		g.Go(func() error {
			keep, err := s.storeEntry(ctx, p, e, before, changed, doubtful)
			if !keep {
				mu.Lock()
				defer mu.Unlock()
				stale = append(stale, p.product)
			}
			return err
		})
	}
	err = g.Wait()
	for _, product := range stale {
		delete(cache.entries, product)
	}
	untracked = map[string]bool{}
	for _, p := range products {
		for _, o := range p.objects {
			now := entries[p.product].observed
			if o.Price != nil && p.verify(now) == nil && catalog.FindPrice(now, o.ID) == nil {
				untracked[o.ID] = true
			}
		}
	}
	return untracked, err
}

// byProduct groups the objects of a page by product.
func (s *scan) byProduct(ctx context.Context, page stripeapi.Page) ([]pageGroup, error) {
	at := make(map[string]int, len(page.Objects))
	out := make([]pageGroup, 0, len(page.Objects))
	for _, o := range page.Objects {
		if o.Err != nil || o.ProductID == "" {
			if err := s.fail(ctx, s.ref(o.ProductID), o.ID, topology.ReasonUndecodable,
				errors.Join(errUnreadable, o.Err)); err != nil {
				return nil, err
			}
			continue
		}
		i, ok := at[o.ProductID]
		if !ok {
			i = len(out)
			at[o.ProductID] = i
			out = append(out, pageGroup{productRef: s.ref(o.ProductID)})
		}
		out[i].objects = append(out[i].objects, o)
	}
	return out, nil
}

var errUnreadable = errors.New("cannot decode an object in Stripe's list")

// apply applies objects to the entry. doubtful are the objects for which it is unknown whether the list or the observed
// state is later.
func (e *entry) apply(objects []stripeapi.Listed, before uint64) (changed bool, doubtful []string) {
	// If nobody else has written the state since the page was requested, the page is at least as recent.
	current := e.others <= before
	for _, o := range objects {
		var effect catalog.Result
		if o.Product != nil {
			sighting := *o.Product
			sighting.Fetched = current && sighting.Updated >= e.observed.GetProductUpdated()
			effect = catalog.ObserveProduct(e.observed, sighting)
		} else {
			sighting := *o.Price
			sighting.Fetched = current
			effect = catalog.ObservePrice(e.observed, sighting)
		}
		switch effect {
		case catalog.Applied:
			changed = true
		case catalog.Unordered:
			doubtful = append(doubtful, o.ID)
		case catalog.Unchanged:
		}
	}
	return changed, doubtful
}

// storeEntry stores an entry that a page changed, and rereads doubtful objects. keep is false if the cached entry is
// outdated. A product that others write all the time is counted as unconfirmed.
func (s *scan) storeEntry(ctx context.Context, p pageGroup, e *entry, before uint64, changed bool,
	doubtful []string,
) (keep bool, err error) {
	for attempt := 1; changed; attempt++ {
		revision, err := s.stores.Observed().Put(ctx, e.observed, e.revision)
		if err == nil {
			e.revision = revision
			s.count(func(r *meshv1.ScanReport) { r.Corrected++ })
			switch err := p.forgetIfAdopted(ctx, e.observed, nil); {
			case errors.Is(err, errLinking):
				return false, nil
			case err != nil:
				return false, err
			}
			break
		}
		if errors.Is(err, state.ErrTooLarge) {
			return false, s.fail(ctx, p.productRef, p.stripeID, topology.ReasonExhausted, err)
		}
		if !errors.Is(err, state.ErrConflict) {
			return false, err
		}
		if attempt == maxWrites {
			s.countUnconfirmed(ctx, p.stripeID, err)
			return false, nil
		}
		if err := wait.For(ctx, time.Duration(attempt)*time.Millisecond); err != nil {
			return false, err
		}
		e.observed, e.revision, err = s.stores.Observed().Get(ctx, s.account, p.product)
		switch {
		case errors.Is(err, state.ErrUndecodable):
			return false, s.failEntry(ctx, p.product, err)
		case err != nil:
			return false, err
		}
		if p.verify(e.observed) != nil {
			return false, nil //nolint:nilerr // the other writer linked or unlinked the product
		}
		e.others = e.revision
		changed, doubtful = e.apply(p.objects, before)
	}
	for _, id := range doubtful {
		if _, err := s.reread(ctx, p.productRef, id, func(*catalogv1.Observed) {}); err != nil {
			return false, err
		}
	}
	return len(doubtful) == 0, nil
}

// reread reads one object into the observed state of its product, and reports whether Stripe no longer holds it. An
// object that cannot be read or recorded is counted and skipped: as failed, or as unconfirmed if it may be possible
// later.
func (s *scan) reread(ctx context.Context, ref productRef, object string,
	also func(*catalogv1.Observed),
) (gone bool, err error) {
	const attempts = 4
	for attempt := uint64(1); ; attempt++ {
		if !s.reserveRead() {
			s.count(func(r *meshv1.ScanReport) { r.Unconfirmed++ })
			return false, nil
		}
		holds, err := s.refresh(ctx, ref, object, false, also)
		if err == nil {
			return !holds, nil
		}
		if errors.Is(err, errLinking) || errors.Is(err, errShadowed) {
			return false, nil
		}
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		if errors.Is(err, state.ErrUndecodable) {
			return false, s.failEntry(ctx, ref.product, err)
		}
		var f *stripeapi.Failure
		if !errors.As(err, &f) && !errors.Is(err, state.ErrTooLarge) && !errors.Is(err, state.ErrConflict) {
			// The error concerns NATS, not the object.
			return false, err
		}
		if f != nil && f.Action == stripeapi.Halt {
			return false, err
		}
		switch {
		case errors.Is(err, state.ErrTooLarge):
			return false, s.fail(ctx, ref, object, topology.ReasonExhausted, err)
		case f != nil && f.Action == stripeapi.Refuse:
			return false, s.fail(ctx, ref, object, topology.ReasonRefused, err)
		case attempt == attempts:
			s.countUnconfirmed(ctx, object, err)
			return false, nil
		}
		if err := wait.For(ctx, mesh.RetryDelay(attempt)); err != nil {
			return false, err
		}
	}
}
