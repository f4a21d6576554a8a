package cloudevent

import (
	"cmp"
	"maps"
	"slices"
	"strconv"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// State is what is known of both sides of a product.
type State struct {
	ID       string
	Desired  *catalogv1.ProductChange
	Observed *catalogv1.Observed
}

// isOurs reports whether the product is the catalog's. Others have no events of sale: nobody who reads the catalog
// knows their ids.
func (s State) isOurs() bool { return s.Desired != nil || catalog.IsManaged(s.Observed) }

// isLive reports whether the product is active in Stripe.
func (s State) isLive() bool { return s.isOurs() && s.Observed.GetProduct().GetActive() }

// livePrices returns the active prices of the catalog's by Stripe's ids. Prices of others are left out.
func (s State) livePrices() map[string]*catalogv1.ObservedPrice {
	live := map[string]*catalogv1.ObservedPrice{}
	if !s.isOurs() {
		return live
	}
	for _, p := range s.Observed.GetPrices() {
		if p.GetPrice().GetId() != "" && p.GetPrice().GetActive() {
			live[p.GetStripeId()] = p
		}
	}
	return live
}

// SaleEvents returns what a change of a product's state means for its sale, with Kind and Data, and with Fact as the
// ids of Stripe's objects. A product comes before the prices that became live with it, and after those that ended with
// it.
func SaleEvents(before, after State) []Event {
	if before.Observed == after.Observed && before.isOurs() == after.isOurs() {
		return nil
	}
	was, is := before.livePrices(), after.livePrices()
	still := map[string]bool{}
	for _, p := range after.Observed.GetPrices() {
		// A price that lost its mark is drift, and it is still for sale.
		still[p.GetStripeId()] = p.GetPrice().GetActive()
	}
	var live, archived []Event
	for _, id := range slices.Sorted(maps.Keys(is)) {
		if was[id] == nil {
			live = append(live, Event{Kind: PriceLive, Fact: id, Data: after.price(is[id])})
		}
	}
	for _, id := range slices.Sorted(maps.Keys(was)) {
		if is[id] == nil && !still[id] {
			archived = append(archived, Event{Kind: PriceArchived, Fact: id, Data: after.price(was[id])})
		}
	}
	switch {
	case after.isLive() && !before.isLive():
		return slices.Concat([]Event{{Kind: ProductLive, Data: after.product(after)}}, live, archived)
	case before.isLive() && !after.isLive():
		return slices.Concat(live, archived, []Event{{Kind: ProductArchived, Data: after.product(before)}})
	default:
		// A price that replaces another is there before the other one ends.
		return slices.Concat(live, archived)
	}
}

func (s State) stripeID() string { return cmp.Or(s.Observed.GetStripeId(), s.ID) }

// version returns the catalog version that Stripe has in full.
func (s State) version() string { return Version(s.Observed.GetVersion()) }

// Version returns a catalog version as text. JSON numbers of some programs lose digits of it. 0 is empty.
func Version(v uint64) string {
	if v == 0 {
		return ""
	}
	return strconv.FormatUint(v, 10)
}

// product returns the product's data. The name is that of the state in which it was live.
func (s State) product(live State) Product {
	return Product{
		ProductID:       s.ID,
		StripeProductID: s.stripeID(),
		Name:            Text(live.Observed.GetProduct().GetName()),
		Deleted:         s.Observed.GetProduct() == nil,
		Version:         s.version(),
	}
}

func (s State) price(o *catalogv1.ObservedPrice) Price {
	p := o.GetPrice()
	out := Price{
		ProductID:         s.ID,
		StripeProductID:   s.stripeID(),
		PriceID:           p.GetId(),
		StripePriceID:     o.GetStripeId(),
		LookupKey:         p.GetLookupKey(),
		Currency:          p.GetCurrency(),
		UnitAmountDecimal: p.GetUnitAmountDecimal(),
		BillingScheme:     cmp.Or(p.GetBillingScheme(), "per_unit"),
		Version:           s.version(),
	}
	if amount, err := strconv.ParseInt(p.GetUnitAmount(), 10, 64); err == nil {
		out.UnitAmount = &amount
		out.UnitAmountDecimal = cmp.Or(out.UnitAmountDecimal, p.GetUnitAmount())
	}
	if r := p.GetRecurring(); r != nil {
		out.Recurring = &Recurring{Interval: r.GetInterval(), IntervalCount: max(r.GetIntervalCount(), 1)}
	}
	return out
}
