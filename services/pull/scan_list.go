package pull

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
	"github.com/driftless-sync/driftless/services/internal/wait"
)

// list reads everything that Stripe lists, in ranges of creation times. Ranges with many objects are split.
func (s *scan) list(ctx context.Context) error {
	if s.report.GetPhase() != meshv1.ScanPhase_SCAN_PHASE_LISTING {
		return nil
	}
	if err := s.runListers(ctx); err != nil {
		return err
	}
	if s.addTail() {
		if err := s.runListers(ctx); err != nil {
			return err
		}
	}
	// The states stored until now are compared with what was listed. Later ones are compared after them.
	end, err := s.stores.Observed().Revision(ctx)
	if err != nil {
		return err
	}
	entries, err := s.stores.Observed().Count(ctx, s.account)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end, s.revision = end, 1
	s.report.Phase, s.report.Entries = meshv1.ScanPhase_SCAN_PHASE_COMPARING, entries
	return nil
}

// addTail adds the range of objects created since a long listing began. It reports whether it added one.
func (s *scan) addTail() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tail || s.began == 0 || time.Now().Unix()-s.report.GetStartedAt().GetSeconds() < minTailSeconds {
		return false
	}
	s.tail = true
	s.report.Ranges++
	s.waiting = append(s.waiting, &timeRange{from: s.began})
	return true
}

// runListers lists the waiting ranges, several at once, until none is left.
func (s *scan) runListers(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	defer context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.free.Broadcast()
	})()
	for range maxListers {
		g.Go(func() error {
			cache := newObservedCache()
			for {
				r, err := s.nextRange(ctx)
				if r == nil || err != nil {
					return err
				}
				if err := s.listRange(ctx, cache, r); err != nil {
					return err
				}
			}
		})
	}
	return g.Wait()
}

// nextRange waits for a range to list. It returns nil if all are listed.
func (s *scan) nextRange(ctx context.Context) (*timeRange, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.idle++
	defer func() { s.idle-- }()
	for len(s.waiting) == 0 {
		if len(s.running) == 0 {
			return nil, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		s.free.Wait()
	}
	r := s.waiting[0]
	s.waiting = s.waiting[1:]
	s.running[r] = true
	return r, nil
}

// listRange lists a range to its end, without the parts that were split off for other listers.
func (s *scan) listRange(ctx context.Context, cache *observedCache, r *timeRange) error {
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.running, r)
		if r.next() >= 0 {
			// The listing failed. The next attempt lists the rest of the range.
			s.waiting = append(s.waiting, r)
		} else {
			s.report.RangesDone++
		}
		s.free.Broadcast()
	}()
	for i := r.next(); i >= 0; i = r.next() {
		before, err := s.observedRevision(ctx)
		if err != nil {
			return err
		}
		page, err := s.readPage(ctx, r.listing(i))
		if stripeapi.IsCursorLost(err) {
			// The last object of the previous page has been deleted, so Stripe cannot list on from it.
			s.mu.Lock()
			s.waiting = append(s.waiting, r.restAfterLostCursor(i))
			s.report.Ranges++
			s.mu.Unlock()
			continue
		}
		if err != nil {
			return err
		}
		untracked, err := s.applyPage(ctx, cache, before, page)
		if err != nil {
			return err
		}
		s.advance(r, i, page, untracked)
	}
	return nil
}

// readPage reads a page. It retries, because Stripe or the network may fail for a while.
func (s *scan) readPage(ctx context.Context, l stripeapi.Listing) (stripeapi.Page, error) {
	const attempts = 6
	for attempt := uint64(1); ; attempt++ {
		s.count(func(r *meshv1.ScanReport) { r.ListCalls++ })
		page, err := s.stripe.List(ctx, l)
		if err == nil {
			return page, nil
		}
		f := stripeapi.Classify(err)
		if ctx.Err() != nil {
			return page, context.Cause(ctx)
		}
		if attempt == attempts || f.Action == stripeapi.Halt || f.Action == stripeapi.Refuse {
			return page, f
		}
		if err := wait.For(ctx, mesh.RetryDelay(attempt)); err != nil {
			return page, err
		}
	}
}

// advance records a page that was applied, and splits the range if a lister is idle. Untracked prices do not count as
// listed: OBSERVED does not keep them, so the comparison would not find them there.
func (s *scan) advance(r *timeRange, i int, page stripeapi.Page, untracked map[string]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range page.Objects {
		if o.ID == "" {
			continue
		}
		if listings[i].Prices {
			if !untracked[o.ID] {
				s.listed.Add(s.listed.Key(priceKind, o.ID))
			}
			s.report.Prices++
		} else {
			s.listed.Add(s.listed.Key(productKind, o.ID))
			s.report.Products++
		}
	}
	if s.began == 0 {
		s.began = page.Seen
	}
	r.recordPage(i, page)
	if s.idle <= len(s.waiting) {
		return
	}
	if older, ok := r.split(); ok {
		s.report.Ranges++
		s.waiting = append(s.waiting, older)
		s.free.Signal()
	}
}

// maxRevisionAge is how long a bucket revision is reused. An older revision is never wrong, but more states then count
// as written after a page was requested.
const maxRevisionAge = 100 * time.Millisecond

// observedRevision returns a lower bound: anything written after this call has a higher revision.
func (s *scan) observedRevision(ctx context.Context) (uint64, error) {
	s.bucketMu.Lock()
	defer s.bucketMu.Unlock()
	if time.Since(s.bucketReadAt) < maxRevisionAge {
		return s.bucketRevision, nil
	}
	at := time.Now()
	revision, err := s.stores.Observed().Revision(ctx)
	if err != nil {
		return 0, err
	}
	s.bucketRevision, s.bucketReadAt = revision, at
	return revision, nil
}
