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

// Kinds of objects in the sums of what was listed.
const (
	productKind = "product"
	priceKind   = "price"
)

const (
	// unlistedFor is how long it is not asked again whether Stripe still holds a price of others that no list shows.
	// Entries that an older program wrote have such prices.
	unlistedFor = 30 * 24 * time.Hour
	// confirmers is how many objects are read at the same time.
	confirmers = 8
	// confirmBatch is how many products with something unlisted are worked off before the scan says how far it is.
	confirmBatch = 32
)

// keys of the objects that Stripe holds as far as is known, and that its lists should show.
func (s *scan) keys(o *catalogv1.Observed, yield func(key uint64, price *catalogv1.ObservedPrice)) {
	if o.GetProduct() != nil {
		yield(s.listed.key(productKind, catalog.StripeID(o)), nil)
	}
	for _, price := range o.GetPrices() {
		if !restsUnlisted(price) {
			yield(s.listed.key(priceKind, price.GetStripeId()), price)
		}
	}
}

// restsUnlisted says of a price of others that it was looked at lately since no list shows it.
func restsUnlisted(p *catalogv1.ObservedPrice) bool {
	return p.GetPrice().GetId() == "" && time.Since(time.Unix(p.GetUnlisted(), 0)) < unlistedFor
}

// compare takes what is known from what was listed.
func (s *scan) compare(ctx context.Context) error {
	if s.report.GetPhase() != meshv1.ScanPhase_SCAN_PHASE_COMPARING {
		return nil
	}
	for e, err := range s.mesh.Observed().Range(ctx, s.account, s.revision, s.end) {
		if err != nil {
			return err
		}
		s.mu.Lock()
		s.keys(e.Observed, func(key uint64, _ *catalogv1.ObservedPrice) { s.listed.remove(key) })
		s.revision = e.Revision + 1
		s.report.Compared++
		s.mu.Unlock()
	}
	end, err := s.mesh.Observed().Revision(ctx)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revision, s.end = 1, end
	s.report.Phase, s.report.Compared = meshv1.ScanPhase_SCAN_PHASE_CONFIRMING, 0
	return nil
}

// confirm asks for every object that is known and was not listed: it may be gone, or have been made or moved between
// the lists while they were read.
func (s *scan) confirm(ctx context.Context) error {
	keys, share := s.listed.missing()
	if share < 1 {
		more := uint64(float64(len(keys))/share) - uint64(len(keys))
		s.count(func(r *meshv1.ScanReport) { r.Unconfirmed = more })
		s.logger.WarnContext(
			ctx, "Stripe's lists lack so many of the objects that are known that only some are looked at; the next scan goes on", "known_and_not_listed", uint64(float64(len(keys))/share))
	}
	if len(keys) == 0 {
		return nil
	}
	var batch []*catalogv1.Observed
	for e, err := range s.mesh.Observed().Range(ctx, s.account, s.revision, s.end) {
		if err != nil {
			return err
		}
		suspect := false
		s.keys(e.Observed, func(key uint64, _ *catalogv1.ObservedPrice) { suspect = suspect || keys[key] })
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
	g.SetLimit(confirmers)
	for _, o := range batch {
		g.Go(func() error { return s.confirmProduct(ctx, keys, o) })
	}
	return g.Wait()
}

// confirmProduct looks at what was not listed of one product.
func (s *scan) confirmProduct(ctx context.Context, keys map[uint64]bool, o *catalogv1.Observed) error {
	of := known{s.puller, catalog.StripeID(o), o.GetProductId()}
	if o.GetProduct() != nil && keys[s.listed.key(productKind, catalog.StripeID(o))] {
		gone, err := s.look(ctx, of, of.stripeID, func(*catalogv1.Observed) {})
		if err != nil {
			return err
		}
		if gone {
			s.count(func(r *meshv1.ScanReport) { r.Missing++ })
			return nil
		}
	}
	for _, price := range o.GetPrices() {
		if restsUnlisted(price) || !keys[s.listed.key(priceKind, price.GetStripeId())] {
			continue
		}
		gone, err := s.look(ctx, of, price.GetStripeId(), func(after *catalogv1.Observed) {
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

// dropInline drops a price of others that Stripe holds and no list shows, as those made by a checkout: nobody else buys
// at it. One that was made since the lists were read, they may show the next time.
func (s *scan) dropInline(o *catalogv1.Observed, stripeID string) {
	held := catalog.FindPrice(o, stripeID)
	if held == nil || catalog.Owned(held) || held.GetCreated() >= s.began ||
		stripeID == o.GetProduct().GetDefaultPrice() {
		return
	}
	o.Prices = slices.DeleteFunc(o.Prices, func(p *catalogv1.ObservedPrice) bool { return p == held })
}
