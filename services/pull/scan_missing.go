package pull

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// Kinds of objects in the sketch of listed ids.
const (
	productKind = "product"
	priceKind   = "price"
)

const (
	// unlistedInterval is how long a price of others that no list shows is not read again. Such prices come from states
	// that older versions wrote.
	unlistedInterval = 30 * 24 * time.Hour
	// maxConfirmers is how many objects are read at once.
	maxConfirmers = 8
	// confirmBatch is how many products with unlisted objects are processed before the scan records its position.
	confirmBatch = 32
	// maxUncompared is how many objects of products that changed during the comparison are read.
	maxUncompared = 10_000
	// maxConfirmPasses is how often the scan looks for objects of products that change while others are read.
	maxConfirmPasses = 5
)

// eachKey yields the keys of the observed objects that Stripe's lists should show.
func (s *scan) eachKey(o *catalogv1.Observed, yield func(key uint64, price *catalogv1.ObservedPrice)) {
	if o.GetProduct() != nil {
		yield(s.listed.Key(productKind, catalog.StripeID(o)), nil)
	}
	for _, price := range o.GetPrices() {
		if !recentlyConfirmed(price) {
			yield(s.listed.Key(priceKind, price.GetStripeId()), price)
		}
	}
}

// recentlyConfirmed reports whether a price of others that no list shows was read within unlistedInterval.
func recentlyConfirmed(p *catalogv1.ObservedPrice) bool {
	return p.GetPrice().GetId() == "" && time.Since(time.Unix(p.GetUnlisted(), 0)) < unlistedInterval
}

// compare removes the observed ids from the sketch of listed ids.
func (s *scan) compare(ctx context.Context) error {
	if s.report.GetPhase() != meshv1.ScanPhase_SCAN_PHASE_COMPARING {
		return nil
	}
	for e, err := range s.stores.Observed().Range(ctx, s.account, s.revision, s.end) {
		if err != nil {
			return err
		}
		s.mu.Lock()
		s.eachKey(e.Observed, func(key uint64, _ *catalogv1.ObservedPrice) { s.listed.Remove(key) })
		s.revision = e.Revision + 1
		s.report.Compared++
		s.mu.Unlock()
	}
	end, err := s.stores.Observed().Revision(ctx)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// An entry that was written meanwhile was skipped if its turn had not come.
	s.uncompared = s.end + 1
	s.revision, s.end = 1, end
	s.report.Phase, s.report.Compared = meshv1.ScanPhase_SCAN_PHASE_CONFIRMING, 0
	return nil
}

// suspects are the keys of objects that a scan has to read. They are safe for concurrent use.
type suspects struct {
	// unlisted are those that no list shows. Not changed.
	unlisted map[uint64]bool

	mu sync.Mutex
	// unread are all that are not read yet.
	unread map[uint64]bool
}

func (s *suspects) has(key uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unread[key]
}

func (s *suspects) remove(key uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.unread, key)
}

func (s *suspects) left() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return uint64(len(s.unread))
}

// confirmed notes that an object was read, also for a resumed scan.
func (s *scan) confirmed(keys *suspects, key uint64) {
	if keys.has(key) && keys.unlisted[key] {
		s.mu.Lock()
		s.listed.Add(key)
		s.mu.Unlock()
	}
	keys.remove(key)
}

// confirmMissing reads every observed object that was not listed. It may be gone, or it was created or moved between
// the lists while they were read. It also reads the objects of products that may not have been compared.
func (s *scan) confirmMissing(ctx context.Context) error {
	missing, more := s.listed.Missing()
	if more > 0 {
		s.count(func(r *meshv1.ScanReport) { r.Unconfirmed = max(r.GetUnconfirmed(), more) })
		s.logger.WarnContext(
			ctx, "too many known objects are missing from Stripe's lists; this scan reads a part of them and the next "+
				"scan continues", "known_and_not_listed", uint64(len(missing))+more)
	}
	keys := &suspects{unlisted: missing, unread: maps.Clone(missing)}
	if err := s.addUncompared(ctx, keys); err != nil {
		return err
	}
	for pass := 1; ; pass++ {
		end, err := s.stores.Observed().Revision(ctx)
		if err != nil {
			return err
		}
		left := keys.left()
		switch {
		case left == 0, s.revision > end:
			// Objects that are left are in no entry any more.
			return nil
		case pass > maxConfirmPasses:
			s.count(func(r *meshv1.ScanReport) { r.Unconfirmed += left })
			s.logger.WarnContext(ctx, "known objects could not be confirmed, because their products change all the time",
				"objects", left)
			return nil
		}
		if err := s.confirmUpTo(ctx, keys, end, pass == 1); err != nil {
			return err
		}
	}
}

// addUncompared adds the objects of entries that may not have been compared, because they were written meanwhile.
func (s *scan) addUncompared(ctx context.Context, keys *suspects) error {
	if s.uncompared == 0 {
		// An older program compared them.
		return nil
	}
	end, err := s.stores.Observed().Revision(ctx)
	if err != nil {
		return err
	}
	added, skipped := 0, uint64(0)
	// A resumed scan has read those before its position.
	for e, err := range s.stores.Observed().Range(ctx, s.account, max(s.uncompared, s.revision), end) {
		if err != nil {
			return err
		}
		s.eachKey(e.Observed, func(key uint64, _ *catalogv1.ObservedPrice) {
			if added == maxUncompared {
				skipped++
				return
			}
			added++
			keys.unread[key] = true
		})
	}
	if skipped > 0 {
		s.count(func(r *meshv1.ScanReport) { r.Unconfirmed += skipped })
		s.logger.WarnContext(ctx, "many products changed while the scan compared; the next scan compares them again",
			"objects", skipped)
	}
	return nil
}

// confirmUpTo confirms what the entries up to a revision have, and moves the scan's position behind it. An entry that
// is written meanwhile gets a later revision.
func (s *scan) confirmUpTo(ctx context.Context, keys *suspects, end uint64, counts bool) error {
	var batch []*catalogv1.Observed
	flush := func(next uint64) error {
		if err := s.confirmAll(ctx, keys, batch); err != nil {
			return err
		}
		batch = batch[:0]
		s.mu.Lock()
		defer s.mu.Unlock()
		s.revision = next
		return nil
	}
	for e, err := range s.stores.Observed().Range(ctx, s.account, s.revision, end) {
		if err != nil {
			return err
		}
		suspect := false
		s.eachKey(e.Observed, func(key uint64, _ *catalogv1.ObservedPrice) { suspect = suspect || keys.has(key) })
		if counts {
			s.count(func(r *meshv1.ScanReport) { r.Compared++ })
		}
		if !suspect {
			continue
		}
		if batch = append(batch, e.Observed); len(batch) == confirmBatch {
			if err := flush(e.Revision + 1); err != nil {
				return err
			}
		}
	}
	return flush(end + 1)
}

func (s *scan) confirmAll(ctx context.Context, keys *suspects, batch []*catalogv1.Observed) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(maxConfirmers)
	for _, o := range batch {
		g.Go(func() error { return s.confirmProduct(ctx, keys, o) })
	}
	return g.Wait()
}

// confirmProduct reads the suspect objects of one product.
func (s *scan) confirmProduct(ctx context.Context, keys *suspects, o *catalogv1.Observed) error {
	ref := productRef{s.puller, catalog.StripeID(o), o.GetProductId()}
	if key := s.listed.Key(productKind, ref.stripeID); o.GetProduct() != nil && keys.has(key) {
		gone, err := s.reread(ctx, ref, ref.stripeID, func(*catalogv1.Observed) {})
		if err != nil {
			return err
		}
		if gone {
			s.count(func(r *meshv1.ScanReport) { r.Missing++ })
			// So are its prices.
			s.eachKey(o, func(key uint64, _ *catalogv1.ObservedPrice) { s.confirmed(keys, key) })
			return nil
		}
		s.confirmed(keys, key)
	}
	for _, price := range o.GetPrices() {
		key := s.listed.Key(priceKind, price.GetStripeId())
		if recentlyConfirmed(price) || !keys.has(key) {
			continue
		}
		gone, err := s.reread(ctx, ref, price.GetStripeId(), func(after *catalogv1.Observed) {
			s.dropInline(after, price.GetStripeId())
		})
		if err != nil {
			return err
		}
		if gone {
			s.count(func(r *meshv1.ScanReport) { r.MissingPrices++ })
		}
		s.confirmed(keys, key)
	}
	return nil
}

// dropInline drops a price of others that Stripe holds and no list shows, such as one made by a checkout: nobody else
// buys at it. A price created during the listing stays, because the next lists may show it.
func (s *scan) dropInline(o *catalogv1.Observed, stripeID string) {
	held := catalog.FindPrice(o, stripeID)
	if held == nil || catalog.IsMarked(held) || held.GetCreated() >= s.began ||
		stripeID == o.GetProduct().GetDefaultPrice() {
		return
	}
	o.Prices = slices.DeleteFunc(o.Prices, func(p *catalogv1.ObservedPrice) bool { return p == held })
}
