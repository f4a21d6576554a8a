package catalog

import (
	"maps"

	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
)

// leaveUnmanaged returns what the catalog wants of a price once the fields that are not Driftless's are given the
// values that Stripe holds. So a price is found to differ in managed fields only, and one that takes another's
// place, because its amount changed, goes on being what somebody made of that one in Stripe.
func (d *differ) leaveUnmanaged(want *catalogv1.Price) *catalogv1.Price {
	if !d.someUnmanaged {
		return want
	}
	want = proto.CloneOf(want)
	held := &catalogv1.Price{Active: new(true), TaxBehavior: "unspecified"}
	for _, h := range d.held {
		// The first one stands for the catalog's price: see preference.
		if h.GetPrice().GetId() == want.GetId() {
			held = h.GetPrice()
			d.keepIdentity(want, held)
			break
		}
	}
	if !d.managed("prices.active") && !d.returning[want.GetId()] {
		want.Active = new(held.GetActive())
	}
	if !d.managed("prices.lookup_key") {
		want.LookupKey = held.GetLookupKey()
	}
	if !d.managed("prices.metadata") {
		want.Metadata = maps.Clone(held.GetMetadata())
		for _, key := range ownKeys {
			delete(want.Metadata, key)
		}
	}
	if !d.managed("prices.nickname") {
		want.Nickname = held.GetNickname()
	}
	if !d.managed("prices.tax_behavior") {
		want.TaxBehavior = held.GetTaxBehavior()
	}
	if !d.managed("prices.currency_options") && len(held.GetCurrencyOptions()) == 0 {
		want.CurrencyOptions = nil
	}
	return want
}

// keepIdentity gives a wanted price the unmanaged ones of the held price's fields that Stripe never changes, and
// its currency options, which must fit them. Where the mixture would break Stripe's rules, the catalog's price is
// wanted as it is.
func (d *differ) keepIdentity(want, held *catalogv1.Price) {
	mixed := proto.CloneOf(want)
	for _, f := range priceTable {
		if f.Fixed && !f.priced && !d.managed("prices."+f.Name) {
			copyField(mixed, held, f.Name)
		}
	}
	// An amount is given in one of several fields: it is unmanaged if neither the field that the catalog gives it in
	// nor the one that Stripe has it in is Driftless's.
	if !d.managesAmount(want) && !d.managesAmount(held) {
		for _, f := range priceTable {
			if f.priced {
				copyField(mixed, held, f.Name)
			}
		}
	}
	if !d.managed("prices.tiers_mode") && len(mixed.GetTiers()) > 0 && held.GetTiersMode() != "" {
		mixed.TiersMode = held.GetTiersMode()
	}
	if !d.managed("prices.currency_options") {
		mixed.CurrencyOptions = maps.Clone(held.GetCurrencyOptions())
		delete(mixed.CurrencyOptions, mixed.GetCurrency())
	}
	v := &validator{}
	if v.price("", mixed); len(v.violations) > 0 {
		return
	}
	proto.Reset(want)
	proto.Merge(want, mixed)
}

func (d *differ) managesAmount(p *catalogv1.Price) bool {
	switch {
	case len(p.GetTiers()) > 0:
		return d.managed("prices.tiers")
	case p.GetCustomUnitAmount() != nil:
		return d.managed("prices.custom_unit_amount")
	default:
		return d.managed("prices.unit_amount") || d.managed("prices.unit_amount_decimal")
	}
}
