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
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// writers is how many products of a page are corrected at once.
const writers = 32

// keptProducts is how many products a lister remembers: prices are listed soon after their products.
const keptProducts = 1000

// recent is what one lister read of OBSERVED last. Not safe for concurrent use.
type recent struct {
	entries map[string]*entry
	order   []string
}

// entry is what is known of a product.
type entry struct {
	observed *catalogv1.Observed
	revision uint64
	// others is the newest revision that was not written by this scan.
	others uint64
}

func newRecent() *recent { return &recent{entries: map[string]*entry{}} }

func (r *recent) put(product string, e *entry) {
	r.entries[product] = e
	r.order = append(r.order, product)
	for len(r.order) > keptProducts {
		delete(r.entries, r.order[0])
		r.order = r.order[1:]
	}
}

// shown are the objects of one of Stripe's products on a page.
type shown struct {
	known

	objects []stripeapi.Listed
}

// take compares a page with what is known and corrects that. Before is a revision of OBSERVED from before the page was
// asked for. It returns the ids of prices on the page of which nothing is kept.
func (s *scan) take(
	ctx context.Context, known *recent, before uint64, page stripeapi.Page,
) (needless map[string]bool, err error) {
	products := s.byProduct(ctx, page)
	entries := make(map[string]*entry, len(products))
	var unread []string
	for _, p := range products {
		if e := known.entries[p.product]; e != nil {
			entries[p.product] = e
		} else if _, twice := entries[p.product]; !twice {
			// Of a product that has the catalog's id and one that stands for it, both may be listed.
			entries[p.product] = nil
			unread = append(unread, p.product)
		}
	}
	read, err := s.mesh.Observed().GetMany(ctx, s.account, unread)
	if err != nil {
		return nil, err
	}
	for i, e := range read {
		entries[unread[i]] = &entry{e.Observed, e.Revision, e.Revision}
		known.put(unread[i], entries[unread[i]])
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(writers)
	var mu sync.Mutex
	var stale []string
	for _, p := range products {
		e := entries[p.product]
		if p.is(e.observed) != nil {
			// Push reads a product that is being adopted itself; of one whose id is taken, nothing can be known.
			continue
		}
		changed, doubtful := e.apply(p.objects, before)
		if !changed && len(doubtful) == 0 {
			continue
		}
		g.Go(func() error {
			keep, err := s.correct(ctx, p, e, before, changed, doubtful)
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
		delete(known.entries, product)
	}
	needless = map[string]bool{}
	for _, p := range products {
		for _, o := range p.objects {
			now := entries[p.product].observed
			if o.Price != nil && p.is(now) == nil && catalog.FindPrice(now, o.ID) == nil {
				needless[o.ID] = true
			}
		}
	}
	return needless, err
}

// byProduct groups the objects of a page.
func (s *scan) byProduct(ctx context.Context, page stripeapi.Page) []shown {
	at := make(map[string]int, len(page.Objects))
	out := make([]shown, 0, len(page.Objects))
	for _, o := range page.Objects {
		if o.Err != nil || o.ProductID == "" {
			s.fail(ctx, o.ID, errors.Join(errUnreadable, o.Err))
			continue
		}
		i, ok := at[o.ProductID]
		if !ok {
			i = len(out)
			at[o.ProductID] = i
			out = append(out, shown{known: s.known(o.ProductID)})
		}
		out[i].objects = append(out[i].objects, o)
	}
	return out
}

var errUnreadable = errors.New("Stripe shows an object that cannot be read")

// apply takes objects into the entry. Doubtful are those of which it cannot be told whether the list or what is known
// is newer.
func (e *entry) apply(objects []stripeapi.Listed, before uint64) (changed bool, doubtful []string) {
	// What nobody else wrote since the page was asked for was learnt before: then the page is the truth.
	current := e.others <= before
	for _, o := range objects {
		var order catalog.Result
		if o.Product != nil {
			sighting := *o.Product
			sighting.Fetched = current && sighting.Updated >= e.observed.GetProductUpdated()
			order = catalog.ObserveProduct(e.observed, sighting)
		} else {
			sighting := *o.Price
			sighting.Fetched = current
			order = catalog.ObservePrice(e.observed, sighting)
		}
		switch order {
		case catalog.Applied:
			changed = true
		case catalog.Unordered:
			doubtful = append(doubtful, o.ID)
		case catalog.Unchanged:
		}
	}
	return changed, doubtful
}

// correct stores an entry that a page changed, and looks at what is doubtful. keep is false if the entry is not what is
// known any more.
func (s *scan) correct(ctx context.Context, p shown, e *entry, before uint64, changed bool,
	doubtful []string,
) (keep bool, err error) {
	for attempt := 0; changed && attempt < 5; attempt++ {
		var revision uint64
		revision, err = s.mesh.Observed().Put(ctx, e.observed, e.revision)
		if err == nil {
			e.revision = revision
			s.count(func(r *meshv1.ScanReport) { r.Corrected++ })
			if err = p.stored(ctx, e.observed, nil); errors.Is(err, errLinking) {
				return false, nil
			}
			break
		}
		if errors.Is(err, mesh.ErrTooLarge) {
			s.fail(ctx, p.product, err)
			// One product must not end the scan of all.
			return false, s.mesh.DeadLetter(ctx, &meshv1.DeadLetter{
				Service: topology.Pull, Account: s.account, ProductId: p.product, Reason: topology.ReasonExhausted,
				Message: err.Error(), Attempts: 1,
			})
		}
		if !errors.Is(err, mesh.ErrConflict) {
			return false, err
		}
		if e.observed, e.revision, err = s.mesh.Observed().Get(ctx, s.account, p.product); err != nil {
			return false, err
		}
		if p.is(e.observed) != nil {
			return false, nil //nolint:nilerr // the conflict was with somebody who made the two equal
		}
		e.others = e.revision
		if changed, doubtful = e.apply(p.objects, before); changed {
			err = mesh.ErrConflict
		}
	}
	if err != nil {
		return false, err
	}
	for _, id := range doubtful {
		if _, err := s.look(ctx, p.known, id, func(*catalogv1.Observed) {}); err != nil {
			return false, err
		}
	}
	return len(doubtful) == 0, nil
}

// look reads one object into what is known of its product, and reports whether Stripe does not hold it. An object that
// cannot be read is counted and passed over.
func (s *scan) look(ctx context.Context, of known, object string,
	also func(*catalogv1.Observed),
) (gone bool, err error) {
	const attempts = 4
	for attempt := uint64(1); ; attempt++ {
		if !s.mayRead() {
			s.count(func(r *meshv1.ScanReport) { r.Unconfirmed++ })
			return false, nil
		}
		holds, err := s.refresh(ctx, of, object, false, also)
		if err == nil {
			return !holds, nil
		}
		if errors.Is(err, errLinking) || errors.Is(err, errShadowed) {
			return false, nil
		}
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		var f *stripeapi.Failure
		if !errors.As(err, &f) && !errors.Is(err, mesh.ErrTooLarge) && !errors.Is(err, mesh.ErrConflict) {
			// Not about the object: NATS.
			return false, err
		}
		if f != nil && f.Action == stripeapi.Halt {
			return false, err
		}
		if attempt == attempts || f == nil || f.Action == stripeapi.Refuse {
			s.fail(ctx, object, err)
			return false, nil
		}
		if err := pause(ctx, mesh.RetryDelay(attempt)); err != nil {
			return false, err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
