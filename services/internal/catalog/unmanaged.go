package catalog

import (
	"maps"

	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
)

// leaveUnmanaged returns the price that the catalog wants, with Stripe's values in the fields that Driftless does not
// manage. So only managed fields of the price can differ. A price that replaces another one, because its amount
// changed, takes over these values.
func (d *differ) leaveUnmanaged(want *catalogv1.Price) *catalogv1.Price {
	if !d.someUnmanaged {
		return want
	}
	want = proto.CloneOf(want)
	inStripe, exists := d.representative(want.GetId())
	if exists {
		d.keepIdentity(want, inStripe)
	}
	want.Active = new(d.staysActive(want, inStripe))
	if !d.managed("prices.lookup_key") {
		if want.LookupKey = inStripe.GetLookupKey(); d.losesKey[want.GetId()] {
			want.LookupKey = ownLookupKey(want)
		}
	}
	if !d.managed("prices.metadata") {
		want.Metadata = maps.Clone(inStripe.GetMetadata())
		for _, key := range ownKeys {
			delete(want.Metadata, key)
		}
	}
	for _, f := range priceTexts {
		if !d.managed("prices." + f.name) {
			copyField(want, inStripe, f.name)
		}
	}
	if !d.managed("prices.tax_behavior") {
		want.TaxBehavior = inStripe.GetTaxBehavior()
	}
	if !d.managed("prices.currency_options") && len(inStripe.GetCurrencyOptions()) == 0 {
		want.CurrencyOptions = nil
	}
	return want
}

// representative returns the price in Stripe that represents a price of the catalog. If there is none, it returns the
// values of a new price.
func (d *differ) representative(id string) (inStripe *catalogv1.Price, exists bool) {
	for _, h := range d.observedPrices {
		// The first one represents the catalog's price: see comparePreference.
		if h.GetPrice().GetId() == id {
			return h.GetPrice(), true
		}
	}
	return &catalogv1.Price{Active: new(true), TaxBehavior: "unspecified"}, false
}

// staysActive reports whether a wanted price is on sale. inStripe represents it, or is a new price.
func (d *differ) staysActive(want, inStripe *catalogv1.Price) bool {
	if d.managed("prices.active") || d.returning[want.GetId()] {
		return want.GetActive()
	}
	return inStripe.GetActive()
}

// ownLookupKey is the lookup key that a price of the catalog has if nobody gives it another one.
func ownLookupKey(p *catalogv1.Price) string { return LookupKey(&catalogv1.Price{Id: p.GetId()}) }

// findLosesKey finds the prices that do not keep the lookup key that somebody gave them by hand, because another price
// of the catalog takes it for its own. A price that loses its key takes its own one, which a third price may have.
func (d *differ) findLosesKey() {
	if d.managed("prices.lookup_key") {
		return
	}
	d.losesKey = map[string]bool{}
	given := map[string]string{}
	var takes []*catalogv1.Price
	for _, want := range d.want.GetPrices() {
		inStripe, _ := d.representative(want.GetId())
		if !d.staysActive(want, inStripe) {
			continue
		}
		if key := inStripe.GetLookupKey(); key != "" {
			given[key] = want.GetId()
		} else {
			takes = append(takes, want)
		}
	}
	for len(takes) > 0 {
		want := takes[0]
		takes = takes[1:]
		key := ownLookupKey(want)
		loser := given[key]
		if loser == "" || loser == want.GetId() {
			continue
		}
		delete(given, key)
		d.losesKey[loser] = true
		takes = append(takes, d.wantedPrice(loser))
	}
}

// keepIdentity copies unmanaged fields that Stripe never changes from the price in Stripe to the wanted one, and its
// currency options, which must fit them. If the mixture would break Stripe's rules, the catalog's price is wanted
// unchanged.
func (d *differ) keepIdentity(want, inStripe *catalogv1.Price) {
	mixed := proto.CloneOf(want)
	for _, f := range priceTable {
		if f.Fixed && !f.priced && !d.managed("prices."+f.Name) {
			copyField(mixed, inStripe, f.Name)
		}
	}
	// One of several fields contains the amount. The amount is unmanaged if Driftless manages neither the catalog's
	// field nor Stripe's.
	if !d.managesAmount(want) && !d.managesAmount(inStripe) {
		for _, f := range priceTable {
			if f.priced {
				copyField(mixed, inStripe, f.Name)
			}
		}
	}
	if !d.managed("prices.tiers_mode") && len(mixed.GetTiers()) > 0 && inStripe.GetTiersMode() != "" {
		mixed.TiersMode = inStripe.GetTiersMode()
	}
	if !d.managed("prices.currency_options") {
		mixed.CurrencyOptions = maps.Clone(inStripe.GetCurrencyOptions())
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
