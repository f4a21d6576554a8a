package product

import (
	"cmp"
	"slices"
	"strings"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// price is a price of the catalog, or one that only Stripe has.
type price struct {
	// id is the catalog's. Empty for a price that is not the catalog's.
	id string
	// amount is in words, as the catalog has it, or Stripe if only Stripe has the price. held is Stripe's, if it is
	// another one.
	amount, held string
	nickname     string
	lookupKey    string
	isDefault    bool
	// state is active, archived, "not in Stripe", or "left the catalog".
	state, tone string
	stripeID    string
	differing   []field
	// earlier are the prices that this one has replaced, latest first.
	earlier []replaced
}

// prices returns the product's prices: those of the catalog in its order, those that left it, and those of others.
func prices(f *facts, differing []field) (own, others []price) {
	wanted, observed := f.detail.GetDesired().GetProduct(), f.detail.GetObserved()
	inUse := catalog.PricesInUse(observed)
	used := map[string]bool{}
	for _, id := range priceIDs(f.detail) {
		want, held := priceOf(wanted, id), inUse[id]
		if want == nil && held == nil {
			continue
		}
		p := price{
			id:        id,
			amount:    catalog.FormatPrice(cmp.Or(want, held.GetPrice())),
			nickname:  cmp.Or(want, held.GetPrice()).GetNickname(),
			lookupKey: held.GetPrice().GetLookupKey(),
			isDefault: wanted.GetDefaultPrice() == id ||
				held != nil && held.GetStripeId() == observed.GetProduct().GetDefaultPrice(),
			stripeID: held.GetStripeId(),
		}
		if p.lookupKey == "" && want != nil {
			p.lookupKey = catalog.LookupKey(want)
		}
		if held != nil && catalog.FormatPrice(held.GetPrice()) != p.amount {
			p.held = catalog.FormatPrice(held.GetPrice())
		}
		p.state, p.tone = priceState(want, held)
		for _, d := range differing {
			if d.name == "prices."+id || strings.HasPrefix(d.name, "prices."+id+".") {
				p.differing = append(p.differing, d)
			}
		}
		p.earlier = chainOf(f, id, p.stripeID)
		used[p.stripeID] = true
		for _, e := range p.earlier {
			used[e.stripeID] = true
		}
		own = append(own, p)
	}
	for _, held := range observed.GetPrices() {
		if used[held.GetStripeId()] || held.GetPrice().GetId() != "" {
			continue
		}
		state, tone := priceState(nil, held)
		others = append(others, price{
			amount:    catalog.FormatPrice(held.GetPrice()),
			nickname:  held.GetPrice().GetNickname(),
			lookupKey: held.GetPrice().GetLookupKey(),
			isDefault: held.GetStripeId() == observed.GetProduct().GetDefaultPrice(),
			state:     state,
			tone:      tone,
			stripeID:  held.GetStripeId(),
		})
	}
	return own, others
}

// priceState says whether a price can be bought.
func priceState(want *catalogv1.Price, held *catalogv1.ObservedPrice) (state, tone string) {
	switch {
	case held == nil:
		return "not in Stripe yet", "busy"
	case !isActive(held.GetPrice()):
		return "archived", ""
	case want != nil && !isActive(want):
		return "active in Stripe only", "bad"
	}
	return "active", "good"
}

// isActive reports whether a price is active. Absent means true.
func isActive(p *catalogv1.Price) bool { return p.Active == nil || p.GetActive() }

func priceOf(p *catalogv1.Product, id string) *catalogv1.Price {
	i := slices.IndexFunc(p.GetPrices(), func(x *catalogv1.Price) bool { return x.GetId() == id })
	if i < 0 {
		return nil
	}
	return p.GetPrices()[i]
}
