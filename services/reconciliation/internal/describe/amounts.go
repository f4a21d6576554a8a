package describe

import (
	"cmp"
	"strings"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// AddAmounts adds formatted amounts to a difference that names prices by their ids, or amounts in minor units.
func AddAmounts(d *meshv1.Difference, p *ledger.Product) {
	field, isPrice := strings.CutPrefix(d.GetField(), "prices.")
	switch {
	case d.GetField() == "default_price":
		d.CatalogWords = priceLabel(d.GetCatalog(), p)
		d.StripeWords = priceLabel(d.GetStripe(), p)
		return
	case !isPrice:
		return
	}
	desired, observed := pricesOf(field, p)
	switch kind := catalog.Kind(d.GetKind()); {
	case kind == catalog.Missing:
		d.CatalogWords = priceText(desired)
	case kind == catalog.Extra:
		d.StripeWords = extraText(field, d.GetStripe(), p)
	case strings.HasSuffix(field, ".active"):
		d.CatalogWords = activeText(d.GetCatalog(), cmp.Or(desired, observed))
		d.StripeWords = activeText(d.GetStripe(), cmp.Or(observed, desired))
	case strings.HasSuffix(field, ".unit_amount"), strings.HasSuffix(field, ".unit_amount_decimal"):
		if d.GetCatalog() != "" && desired != nil {
			d.CatalogWords = catalog.FormatAmount(d.GetCatalog(), desired.GetCurrency())
		}
		if d.GetStripe() != "" && observed != nil {
			d.StripeWords = catalog.FormatAmount(d.GetStripe(), observed.GetCurrency())
		}
	}
}

// pricesOf returns the catalog's and Stripe's price of a field such as "mug-eur.unit_amount", each nil if there is
// none. If several prices of Stripe carry the id, it prefers an active one.
func pricesOf(field string, p *ledger.Product) (desired, observed *catalogv1.Price) {
	id := priceID(field, p)
	if id == "" {
		return nil, nil
	}
	for _, price := range p.Desired.GetProduct().GetPrices() {
		if price.GetId() == id {
			desired = price
		}
	}
	for _, o := range p.Observed.GetPrices() {
		if price := o.GetPrice(); price.GetId() == id &&
			(observed == nil || price.GetActive() && !catalog.IsKept(o)) {
			observed = price
		}
	}
	return desired, observed
}

// priceID returns the catalog's id of the price that a field belongs to, "" if no price fits. An id may contain dots,
// so the longest one that fits is meant: "mug.eur.unit_amount" belongs to "mug.eur", not to "mug".
func priceID(field string, p *ledger.Product) (longest string) {
	consider := func(id string) {
		if len(id) > len(longest) && (field == id || strings.HasPrefix(field, id+".")) {
			longest = id
		}
	}
	for _, price := range p.Desired.GetProduct().GetPrices() {
		consider(price.GetId())
	}
	for _, o := range p.Observed.GetPrices() {
		consider(o.GetPrice().GetId())
	}
	return longest
}

// extraText returns extra prices with their amounts, "" if none of them is known. The value has Stripe's ids of the
// prices. For a price that was made in Stripe after its product was imported, the field has the id instead.
func extraText(field, value string, p *ledger.Product) string {
	for _, o := range p.Observed.GetPrices() {
		if o.GetStripeId() == field {
			return priceText(o.GetPrice())
		}
	}
	labels, known := strings.Split(value, ", "), false
	for i, id := range labels {
		if label := priceLabel(id, p); label != "" {
			labels[i], known = label, true
		}
	}
	if !known {
		return ""
	}
	return strings.Join(labels, ", ")
}

// priceLabel returns a price's id, the catalog's or Stripe's, with its amount: "mug-eur (14.00 EUR)". It returns "" if
// the price is not known.
func priceLabel(id string, p *ledger.Product) string {
	for _, price := range p.Desired.GetProduct().GetPrices() {
		if price.GetId() == id {
			return id + " (" + priceText(price) + ")"
		}
	}
	for _, o := range p.Observed.GetPrices() {
		if o.GetStripeId() == id || o.GetPrice().GetId() == id {
			return id + " (" + priceText(o.GetPrice()) + ")"
		}
	}
	return ""
}

// activeText returns "active" or "archived" with the price's amount, "" if either is not known. active is the value of
// the field.
func activeText(active string, price *catalogv1.Price) string {
	word := map[string]string{"true": "active", "false": "archived"}[active]
	if word == "" || price == nil {
		return ""
	}
	return word + " (" + priceText(price) + ")"
}

// priceText formats a price, "" for none.
func priceText(p *catalogv1.Price) string {
	if p == nil {
		return ""
	}
	return catalog.FormatPrice(p)
}
