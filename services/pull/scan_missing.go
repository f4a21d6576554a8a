package pull

import (
	"context"
	"iter"
	"math"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/state"
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
	// maxChanged is how many objects of products that change during the comparison are compared afterwards.
	maxChanged = 100_000
	// noEnd is the last revision of a range that ends with the bucket. It has entries that move ahead while it is read.
	noEnd = math.MaxUint64
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

// lastSeen returns the second in which a price was seen, or the product itself if price is nil.
func lastSeen(o *catalogv1.Observed, price *catalogv1.ObservedPrice) int64 {
	if price == nil {
		return o.GetProductSeen()
	}
	return price.GetSeen()
}

// recentlyConfirmed reports whether a price of others that no list shows was read within unlistedInterval.
func recentlyConfirmed(p *catalogv1.ObservedPrice) bool {
	return p.GetPrice().GetId() == "" && time.Since(time.Unix(p.GetUnlisted(), 0)) < unlistedInterval
}

// entries yields the entries of OBSERVED in a range of revisions. An entry that cannot be decoded is counted as failed
// and has no objects.
func (s *scan) entries(ctx context.Context, from, to uint64) iter.Seq2[state.ObservedEntry, error] {
	return func(yield func(state.ObservedEntry, error) bool) {
		for e, err := range s.stores.Observed().Range(ctx, s.account, from, to) {
			if err == nil && e.Undecodable != nil {
				err = s.failEntry(ctx, e.Observed.GetProductId(), e.Undecodable)
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

// compare removes the observed ids from the sketch of listed ids.
func (s *scan) compare(ctx context.Context) error {
	if s.report.GetPhase() != meshv1.ScanPhase_SCAN_PHASE_COMPARING {
		return nil
	}
	for e, err := range s.entries(ctx, s.revision, s.end) {
		if err != nil {
			return err
		}
		s.mu.Lock()
		s.eachKey(e.Observed, func(key uint64, _ *catalogv1.ObservedPrice) { s.listed.Remove(key) })
		s.revision = e.Revision + 1
		s.report.Compared++
		s.mu.Unlock()
	}
	changed, skipped, err := s.changedMeanwhile(ctx)
	if err != nil {
		return err
	}
	end, err := s.stores.Observed().Revision(ctx)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// They are removed in the same step that ends the phase, so that a resumed scan does not remove them twice. An
	// object that is listed and was not compared cancels out. The others are read.
	missing, _ := s.listed.Missing()
	for key := range changed {
		if !missing[key] {
			s.listed.Remove(key)
		}
	}
	s.revision, s.end = 1, end
	s.report.Phase, s.report.Compared = meshv1.ScanPhase_SCAN_PHASE_CONFIRMING, 0
	s.report.Unconfirmed += skipped
	return nil
}

// changedMeanwhile returns the keys of objects of entries that were written during the comparison. Such an entry was
// skipped if its turn had not come. skipped is how many other keys there are.
func (s *scan) changedMeanwhile(ctx context.Context) (changed map[uint64]bool, skipped uint64, err error) {
	changed = map[uint64]bool{}
	for e, err := range s.entries(ctx, s.end+1, noEnd) {
		if err != nil {
			return nil, 0, err
		}
		s.eachKey(e.Observed, func(key uint64, price *catalogv1.ObservedPrice) {
			switch {
			case s.sawLater(lastSeen(e.Observed, price)):
			case len(changed) == maxChanged && !changed[key]:
				skipped++
			default:
				changed[key] = true
			}
		})
	}
	if skipped > 0 {
		s.logger.WarnContext(ctx, "many products changed while the scan compared; the next scan compares them",
			"objects", skipped)
	}
	return changed, skipped, nil
}

// sawLater reports whether an object was seen after the scan began. Stripe had it since then, as a call of push shows.
// Events say what came later.
func (s *scan) sawLater(seen int64) bool { return s.began > 0 && seen > s.began }

// isMissing reports whether an object is to be read.
func (s *scan) isMissing(key uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.missing[key]
}

// confirmed notes that an object needs no read any more, also for a resumed scan.
func (s *scan) confirmed(key uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.missing[key] {
		delete(s.missing, key)
		s.listed.Add(key)
	}
}

// confirmMissing reads every observed object that was not listed. It may be gone, or it was created or moved between
// the lists while they were read.
func (s *scan) confirmMissing(ctx context.Context) error {
	missing, more := s.listed.Missing()
	if more > 0 {
		s.count(func(r *meshv1.ScanReport) { r.Unconfirmed = max(r.GetUnconfirmed(), more) })
		s.logger.WarnContext(
			ctx, "too many known objects differ from Stripe's lists; this scan reads a part of them and the next scan "+
				"continues", "known_and_not_listed", uint64(len(missing))+more)
	}
	if len(missing) == 0 {
		return nil
	}
	s.mu.Lock()
	s.missing = missing
	s.mu.Unlock()
	var batch []*catalogv1.Observed
	// What is not found is in no entry any more.
	for e, err := range s.entries(ctx, s.revision, noEnd) {
		if err != nil {
			return err
		}
		suspect := false
		s.eachKey(e.Observed, func(key uint64, _ *catalogv1.ObservedPrice) { suspect = suspect || s.isMissing(key) })
		if e.Revision <= s.end {
			s.count(func(r *meshv1.ScanReport) { r.Compared++ })
		}
		if !suspect {
			continue
		}
		if batch = append(batch, e.Observed); len(batch) == confirmBatch {
			if err := s.confirmAll(ctx, batch); err != nil {
				return err
			}
			batch = batch[:0]
			s.mu.Lock()
			s.revision = e.Revision + 1
			s.mu.Unlock()
		}
	}
	return s.confirmAll(ctx, batch)
}

func (s *scan) confirmAll(ctx context.Context, batch []*catalogv1.Observed) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(maxConfirmers)
	for _, o := range batch {
		g.Go(func() error { return s.confirmProduct(ctx, o) })
	}
	return g.Wait()
}

// confirmProduct reads the unlisted objects of one product.
func (s *scan) confirmProduct(ctx context.Context, o *catalogv1.Observed) error {
	ref := productRef{s.puller, catalog.StripeID(o), o.GetProductId()}
	s.eachKey(o, func(key uint64, price *catalogv1.ObservedPrice) {
		if s.sawLater(lastSeen(o, price)) {
			s.confirmed(key)
		}
	})
	if key := s.listed.Key(productKind, ref.stripeID); o.GetProduct() != nil && s.isMissing(key) {
		gone, err := s.reread(ctx, ref, ref.stripeID, func(*catalogv1.Observed) {})
		if err != nil {
			return err
		}
		if gone {
			s.count(func(r *meshv1.ScanReport) { r.Missing++ })
			// So are its prices.
			s.eachKey(o, func(key uint64, _ *catalogv1.ObservedPrice) { s.confirmed(key) })
			return nil
		}
		s.confirmed(key)
	}
	for _, price := range o.GetPrices() {
		key := s.listed.Key(priceKind, price.GetStripeId())
		if recentlyConfirmed(price) || !s.isMissing(key) {
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
		s.confirmed(key)
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
