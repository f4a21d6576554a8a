package forecast

import (
	"github.com/shopspring/decimal"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// PriceChange is a price that is created, replaced or archived.
type PriceChange struct {
	ID   string `json:"price_id"`
	Verb string `json:"verb"`
	// Before and After are what it costs: "14.00 EUR / month". They are empty where there is nothing.
	Before string `json:"before"`
	After  string `json:"after"`
	// Percent is the change of the amount: "-50", "+12.5". It is empty if the prices cannot be compared so.
	Percent string `json:"percent"`
	// Rules are those of the guard that would hold the change because of the price.
	Rules []string `json:"rules"`
}

// priceChanges returns the prices whose amount changes.
func priceChanges(is resolved, observed *catalogv1.Observed) (out []PriceChange) {
	for _, c := range catalog.Outline(is.effective, observed) {
		if c.Price == "" || c.Before == c.After || c.Verb == catalog.Updated {
			continue
		}
		change := PriceChange{ID: c.Price, Verb: string(c.Verb), Before: c.Before, After: c.After}
		if c.Verb == catalog.Replaced {
			change.Percent = percent(heldPrice(observed, c.Price), wantedPrice(is.effective, c.Price))
		}
		out = append(out, change)
	}
	return out
}

func wantedPrice(desired *catalogv1.ProductChange, id string) *catalogv1.Price {
	for _, p := range desired.GetProduct().GetPrices() {
		if p.GetId() == id {
			return p
		}
	}
	return nil
}

// heldPrice returns the price in Stripe that has an id of the catalog, an active one if there are several.
func heldPrice(observed *catalogv1.Observed, id string) (held *catalogv1.Price) {
	for _, p := range observed.GetPrices() {
		if p.GetPrice().GetId() == id && (held == nil || p.GetPrice().GetActive()) {
			held = p.GetPrice()
		}
	}
	return held
}

// percent returns the change of a plain amount in percent, "" if the prices are not comparable.
func percent(before, after *catalogv1.Price) string {
	if before == nil || after == nil || before.GetCurrency() != after.GetCurrency() ||
		before.GetRecurring().GetInterval() != after.GetRecurring().GetInterval() ||
		before.GetRecurring().GetIntervalCount() != after.GetRecurring().GetIntervalCount() {
		return ""
	}
	from, err := decimal.NewFromString(before.GetUnitAmount() + before.GetUnitAmountDecimal())
	if err != nil || !from.IsPositive() {
		return ""
	}
	to, err := decimal.NewFromString(after.GetUnitAmount() + after.GetUnitAmountDecimal())
	if err != nil {
		return ""
	}
	change := to.Sub(from).Mul(decimal.NewFromInt(100)).Div(from).Round(1)
	if change.IsNegative() {
		return change.String()
	}
	return "+" + change.String()
}

// addRules notes the rules that would hold the change because of its prices.
func (p Product) addRules() {
	for i := range p.Prices {
		for _, f := range p.GetHold().GetFindings() {
			if f.GetPriceId() == p.Prices[i].ID || f.GetPriceId() == "" {
				p.Prices[i].Rules = append(p.Prices[i].Rules, f.GetRule())
			}
		}
	}
}
