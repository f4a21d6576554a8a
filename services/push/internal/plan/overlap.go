package plan

import (
	"time"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// FirstOverlapEnd returns when the first of a product's kept prices is to be archived, zero if none is kept.
func FirstOverlapEnd(change *catalogv1.ProductChange, observed *catalogv1.Observed) (first time.Time) {
	for _, p := range catalog.KeptPrices(change, observed) {
		if until := p.GetKeepUntil().AsTime(); first.IsZero() || until.Before(first) {
			first = until
		}
	}
	return first
}

// Overlaps returns the prices that stay active beside those that replace them from this plan on, and those that stayed
// active and that the plan archives.
func (p *Plan) Overlaps() (begun, ended []*catalogv1.ObservedPrice) {
	for _, price := range p.State.GetPrices() {
		if catalog.IsKept(price) && price.GetReplacedAt().AsTime().Equal(p.At) {
			begun = append(begun, price)
		}
	}
	for _, c := range p.Calls {
		price := catalog.FindPrice(p.Base, c.StripePriceID)
		active, _ := c.Param("active")
		if c.Kind == catalog.UpdatePrice && active == "false" && price.GetReplacedAt() != nil {
			ended = append(ended, price)
		}
	}
	return begun, ended
}
