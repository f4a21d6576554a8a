package catalog

import (
	"cmp"
	"strings"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
)

// PricesInUse returns, by the catalog's ids of prices, the price in Stripe that represents each of them now. While a
// price is replaced, and for as long as the old one stays active, Stripe holds several. Then it is the one that new
// sales must use. If none is active, it is the latest archived one.
//
// The observed state does not say which prices the catalog wants. So a price that left the catalog is returned too.
func PricesInUse(o *catalogv1.Observed) map[string]*catalogv1.ObservedPrice {
	out := map[string]*catalogv1.ObservedPrice{}
	for _, p := range o.GetPrices() {
		id := catalogPriceID(o, p)
		if id == "" {
			continue
		}
		if known, ok := out[id]; !ok || compareUse(o, p, known) < 0 {
			out[id] = p
		}
	}
	return out
}

// catalogPriceID returns the catalog's id of a price in Stripe, empty if it is somebody else's. A product that was
// imported keeps Stripe's ids for its prices, and Stripe does not hold them as marks.
func catalogPriceID(o *catalogv1.Observed, p *catalogv1.ObservedPrice) string {
	if id := p.GetPrice().GetId(); id != "" || !o.GetFound() || p.GetUnlisted() > 0 {
		return id
	}
	return p.GetStripeId()
}

// compareUse orders the prices that represent one price of the catalog. The lookup key moves to a new price when it is
// created, before the default does. So it tells the price in use from the one that it replaces.
func compareUse(o *catalogv1.Observed, a, b *catalogv1.ObservedPrice) int {
	first := func(yes func(*catalogv1.ObservedPrice) bool) int {
		switch {
		case yes(a) == yes(b):
			return 0
		case yes(a):
			return -1
		default:
			return 1
		}
	}
	return cmp.Or(
		first(func(p *catalogv1.ObservedPrice) bool { return isActive(p.GetPrice().Active) }),
		first(func(p *catalogv1.ObservedPrice) bool { return p.GetReplacedAt() == nil }),
		first(func(p *catalogv1.ObservedPrice) bool { return p.GetPrice().GetLookupKey() != "" }),
		first(func(p *catalogv1.ObservedPrice) bool { return p.GetStripeId() == o.GetProduct().GetDefaultPrice() }),
		cmp.Compare(b.GetCreated(), a.GetCreated()),
		strings.Compare(a.GetStripeId(), b.GetStripeId()))
}

// IsOnSale reports whether Stripe sells the product. It does not sell an archived product, whatever its prices are.
func IsOnSale(o *catalogv1.Observed) bool {
	return o.GetProduct() != nil && !o.GetDeleted() && isActive(o.GetProduct().Active)
}

// IsPriceOnSale reports whether Stripe sells at a price of the product.
func IsPriceOnSale(o *catalogv1.Observed, p *catalogv1.ObservedPrice) bool {
	return IsOnSale(o) && p.GetPrice() != nil && isActive(p.GetPrice().Active)
}

// isActive returns the value of a field active. Absent means true, as in Stripe.
func isActive(active *bool) bool { return active == nil || *active }
