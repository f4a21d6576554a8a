package reconciliation

import (
	"strings"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// tell adds what a price costs to a difference that names prices by their ids, or amounts in minor units.
func tell(d *meshv1.Difference, p *ledger.Product) {
	field, isPrice := strings.CutPrefix(d.GetField(), "prices.")
	switch {
	case d.GetField() == "default_price":
		d.CatalogWords, d.StripeWords = named(d.GetCatalog(), p), named(d.GetStripe(), p)
		return
	case !isPrice:
		return
	}
	wanted, held := pricesOf(field, p)
	switch kind := catalog.Kind(d.GetKind()); {
	case kind == catalog.Missing:
		d.CatalogWords = inMoney(wanted)
	case kind == catalog.Extra:
		var each []string
		for id := range strings.SplitSeq(d.GetStripe(), ", ") {
			each = append(each, named(id, p))
		}
		d.StripeWords = strings.Join(each, ", ")
	case strings.HasSuffix(field, ".active"):
		d.CatalogWords, d.StripeWords = onSale(d.GetCatalog(), wanted, held), onSale(d.GetStripe(), held, wanted)
	case strings.HasSuffix(field, ".unit_amount"), strings.HasSuffix(field, ".unit_amount_decimal"):
		if d.GetCatalog() != "" && wanted != nil {
			d.CatalogWords = catalog.FormatAmount(d.GetCatalog(), wanted.GetCurrency())
		}
		if d.GetStripe() != "" && held != nil {
			d.StripeWords = catalog.FormatAmount(d.GetStripe(), held.GetCurrency())
		}
	}
}

// pricesOf are the catalog's and Stripe's price of a field like "mug-eur.unit_amount"; an id may have dots. Where
// Stripe has several that carry the id, an active one counts.
func pricesOf(field string, p *ledger.Product) (wanted, held *catalogv1.Price) {
	for _, w := range p.Desired.GetProduct().GetPrices() {
		if fieldOf(field, w.GetId()) {
			wanted = w
		}
	}
	for _, h := range p.Observed.GetPrices() {
		if price := h.GetPrice(); price.GetId() != "" && fieldOf(field, price.GetId()) &&
			(held == nil || price.GetActive()) {
			held = price
		}
	}
	return wanted, held
}

func fieldOf(field, price string) bool { return field == price || strings.HasPrefix(field, price+".") }

// named is a price by its id, the catalog's or Stripe's, with what it costs: "mug-eur (14.00 EUR)"; "" if nothing is
// known of it.
func named(id string, p *ledger.Product) string {
	for _, w := range p.Desired.GetProduct().GetPrices() {
		if w.GetId() == id {
			return id + " (" + inMoney(w) + ")"
		}
	}
	for _, h := range p.Observed.GetPrices() {
		if h.GetStripeId() == id || h.GetPrice().GetId() == id {
			return id + " (" + inMoney(h.GetPrice()) + ")"
		}
	}
	return ""
}

// onSale tells of a price that it is active or archived, with what it costs.
func onSale(active string, price, other *catalogv1.Price) string {
	word := map[string]string{"true": "active", "false": "archived"}[active]
	if price == nil {
		price = other
	}
	if word == "" || price == nil {
		return ""
	}
	return word + " (" + inMoney(price) + ")"
}

func inMoney(p *catalogv1.Price) string {
	if p == nil {
		return ""
	}
	return catalog.FormatPrice(p)
}
