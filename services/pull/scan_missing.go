package pull

import (
	"context"
	"slices"
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
	s.revision, s.end = 1, end
	s.report.Phase, s.report.Compared = meshv1.ScanPhase_SCAN_PHASE_CONFIRMING, 0
	return nil
}

// confirmMissing reads every observed object that was not listed. It may be gone, or it was created or moved between
// the lists while they were read.
func (s *scan) confirmMissing(ctx context.Context) error {
	keys, share := s.listed.Missing()
	if share < 1 {
		more := uint64(float64(len(keys))/share) - uint64(len(keys))
		s.count(func(r *meshv1.ScanReport) { r.Unconfirmed = max(r.GetUnconfirmed(), more) })
		s.logger.WarnContext(
			ctx, "too many known objects are missing from Stripe's lists; this scan reads a part of them and the next scan continues", "known_and_not_listed", uint64(float64(len(keys))/share))
	}
	if len(keys) == 0 {
		return nil
	}
	var batch []*catalogv1.Observed
	for e, err := range s.stores.Observed().Range(ctx, s.account, s.revision, s.end) {
		if err != nil {
			return err
		}
		suspect := false
		s.eachKey(e.Observed, func(key uint64, _ *catalogv1.ObservedPrice) { suspect = suspect || keys[key] })
		s.count(func(r *meshv1.ScanReport) { r.Compared++ })
		if !suspect {
			continue
		}
		if batch = append(batch, e.Observed); len(batch) == confirmBatch {
			if err := s.confirmAll(ctx, keys, batch); err != nil {
				return err
			}
			batch = batch[:0]
			s.mu.Lock()
			s.revision = e.Revision + 1
			s.mu.Unlock()
		}
	}
	return s.confirmAll(ctx, keys, batch)
}

func (s *scan) confirmAll(ctx context.Context, keys map[uint64]bool, batch []*catalogv1.Observed) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(maxConfirmers)
	for _, o := range batch {
		g.Go(func() error { return s.confirmProduct(ctx, keys, o) })
	}
	return g.Wait()
}

// confirmProduct reads the unlisted objects of one product.
func (s *scan) confirmProduct(ctx context.Context, keys map[uint64]bool, o *catalogv1.Observed) error {
	ref := productRef{s.puller, catalog.StripeID(o), o.GetProductId()}
	if o.GetProduct() != nil && keys[s.listed.Key(productKind, catalog.StripeID(o))] {
		gone, err := s.reread(ctx, ref, ref.stripeID, func(*catalogv1.Observed) {})
		if err != nil {
			return err
		}
		if gone {
			s.count(func(r *meshv1.ScanReport) { r.Missing++ })
			return nil
		}
	}
	for _, price := range o.GetPrices() {
		if recentlyConfirmed(price) || !keys[s.listed.Key(priceKind, price.GetStripeId())] {
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
