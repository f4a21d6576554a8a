package catalog

import (
	"slices"
	"strings"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
)

// amount writes an amount in whichever of Stripe's two fields fits; prefix is that of the enclosing hash, or
// empty.
func amount(prefix, name, whole, fractional string) []Param {
	key := func(name string) string {
		if prefix == "" {
			return name
		}
		return prefix + "[" + name + "]"
	}
	if fractional != "" {
		return text(key(name+"_decimal"), fractional)
	}
	return optional(nil, key(name), whole)
}

// fractional reports whether any amount of a price, of its tiers or of its currency options is not in whole minor units.
func fractional(p *catalogv1.Price) bool {
	inTiers := func(tiers []*catalogv1.PriceTier) bool {
		return slices.ContainsFunc(tiers, func(t *catalogv1.PriceTier) bool {
			return t.GetUnitAmountDecimal() != "" || t.GetFlatAmountDecimal() != ""
		})
	}
	for _, o := range p.GetCurrencyOptions() {
		if o.GetUnitAmountDecimal() != "" || inTiers(o.GetTiers()) {
			return true
		}
	}
	return p.GetUnitAmountDecimal() != "" || inTiers(p.GetTiers())
}

// inOneForm writes all amounts of a call as decimals if one amount of the price is none in whole minor units: Stripe refuses
// a price with unit_amount and a currency option with unit_amount_decimal. Whether that holds for tiers is not known; decimals
// are right in any case. Differences are told before that, so that a value is the same whatever stands beside it.
func inOneForm(params []Param, p *catalogv1.Price) []Param {
	if !fractional(p) {
		return params
	}
	for i, param := range params {
		name, closing := strings.CutSuffix(param.Name, "]")
		field := name[strings.LastIndexByte(name, '[')+1:]
		if field != "unit_amount" && field != "flat_amount" {
			continue
		}
		if params[i].Name = name + "_decimal"; closing {
			params[i].Name += "]"
		}
	}
	return params
}
