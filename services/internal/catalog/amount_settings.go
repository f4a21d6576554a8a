package catalog

import (
	"slices"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
)

// amountSettings writes an amount in whichever of Stripe's two fields fits. path is the path of the structure that
// contains the amount, empty for none.
func amountSettings(path []string, name, whole, fractional string) []setting {
	if fractional != "" {
		return []setting{newSetting(fractional, slices.Concat(path, []string{name + "_decimal"})...)}
	}
	return appendNonEmpty(nil, whole, slices.Concat(path, []string{name})...)
}

// hasFraction reports whether any amount of a price, of its tiers or of its currency options has a fraction of a minor
// unit.
func hasFraction(p *catalogv1.Price) bool {
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

// unifyAmounts writes all amounts of a call as decimals if one amount of the price has a fraction of a minor unit.
// Stripe refuses a price with unit_amount and a currency option with unit_amount_decimal. Whether Stripe refuses the
// same for tiers is not known; decimals are right in any case. Differences are computed before this, so that the text
// of a value does not depend on the other amounts.
func unifyAmounts(settings []setting, p *catalogv1.Price) []setting {
	if !hasFraction(p) {
		return settings
	}
	for i, s := range settings {
		last := len(s.names()) - 1
		if name := s.path[last]; name == "unit_amount" || name == "flat_amount" {
			settings[i].path[last] += "_decimal"
		}
	}
	return settings
}
