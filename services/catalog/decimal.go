package catalog

import "github.com/shopspring/decimal"

// canonicalDecimal writes a decimal without needless zeros, so that equal numbers are equal strings. Text that is
// no number is returned as it is: Validate refuses it with the field's name.
func canonicalDecimal(s string) string {
	if s == "" {
		return ""
	}
	d, err := decimal.NewFromString(s)
	if err != nil {
		return s
	}
	return d.String()
}

// canonicalAmount folds Stripe's two fields for one amount into the one that fits: unit_amount for whole minor
// units, unit_amount_decimal for the rest.
func canonicalAmount(whole, fractional string) (string, string) {
	s := canonicalDecimal(fractional)
	if s == "" {
		s = canonicalDecimal(whole)
	}
	d, err := decimal.NewFromString(s)
	if err != nil {
		return whole, fractional
	}
	if d.IsInteger() {
		return d.String(), ""
	}
	return "", d.String()
}
