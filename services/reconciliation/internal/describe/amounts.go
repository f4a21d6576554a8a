package describe

import (
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
		d.CatalogWords, d.StripeWords = priceLabel(d.GetCatalog(), p), priceLabel(d.GetStripe(), p)
		return
	case !isPrice:
		return
	}
	wanted, held := pricesOf(field, p)
	switch kind := catalog.Kind(d.GetKind()); {
	case kind == catalog.Missing:
		d.CatalogWords = priceText(wanted)
	case kind == catalog.Extra:
		var each []string
		for id := range strings.SplitSeq(d.GetStripe(), ", ") {
			each = append(each, priceLabel(id, p))
		}
		d.StripeWords = strings.Join(each, ", ")
	case strings.HasSuffix(field, ".active"):
		d.CatalogWords, d.StripeWords = activeText(d.GetCatalog(), wanted, held),
			activeText(d.GetStripe(), held, wanted)
	case strings.HasSuffix(field, ".unit_amount"), strings.HasSuffix(field, ".unit_amount_decimal"):
		if d.GetCatalog() != "" && wanted != nil {
			d.CatalogWords = catalog.FormatAmount(d.GetCatalog(), wanted.GetCurrency())
		}
		if d.GetStripe() != "" && held != nil {
			d.StripeWords = catalog.FormatAmount(d.GetStripe(), held.GetCurrency())
		}
	}
}

// pricesOf returns the catalog's and Stripe's price of a field such as "mug-eur.unit_amount"; an id may contain dots.
// If several prices of Stripe carry the id, it prefers an active one.
func pricesOf(field string, p *ledger.Product) (wanted, held *catalogv1.Price) {
	for _, w := range p.Desired.GetProduct().GetPrices() {
		if fieldOf(field, w.GetId()) {
			wanted = w
		}
	}
	for _, h := range p.Observed.GetPrices() {
		if price := h.GetPrice(); price.GetId() != "" && fieldOf(field, price.GetId()) &&
			(held == nil || price.GetActive() && !catalog.IsKept(h)) {
			held = price
		}
	}
	return wanted, held
}

// fieldOf reports whether a field is a price, or one of its fields.
func fieldOf(field, price string) bool { return field == price || strings.HasPrefix(field, price+".") }

// priceLabel returns a price's id, the catalog's or Stripe's, with its amount: "mug-eur (14.00 EUR)". It returns "" if
// the price is not known.
func priceLabel(id string, p *ledger.Product) string {
	for _, w := range p.Desired.GetProduct().GetPrices() {
		if w.GetId() == id {
			return id + " (" + priceText(w) + ")"
		}
	}
	for _, h := range p.Observed.GetPrices() {
		if h.GetStripeId() == id || h.GetPrice().GetId() == id {
			return id + " (" + priceText(h.GetPrice()) + ")"
		}
	}
	return ""
}

// activeText says whether a price is active or archived, with its amount.
func activeText(active string, price, other *catalogv1.Price) string {
	word := map[string]string{"true": "active", "false": "archived"}[active]
	if price == nil {
		price = other
	}
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
