package catalog

import (
	"strings"

	"github.com/shopspring/decimal"
)

// maxNumberLength is longer than every number that Stripe accepts: 12 digits with 12 decimals, or 18 digits for a
// tier's bound.
const maxNumberLength = 40

// parseDecimal parses a plain decimal: digits with at most one point between them. It refuses texts longer than
// maxNumberLength, because parsing takes time that grows with the square of the length.
func parseDecimal(s string) (decimal.Decimal, bool) {
	whole, fraction, point := strings.Cut(s, ".")
	if len(s) > maxNumberLength || !isDigits(whole) || point && !isDigits(fraction) {
		return decimal.Decimal{}, false
	}
	d, err := decimal.NewFromString(s)
	return d, err == nil
}

// canonicalDecimal writes a decimal without needless zeros, so that equal numbers are equal strings. It returns other
// texts unchanged: Validate refuses them with the field's name.
func canonicalDecimal(s string) string {
	whole, fraction, _ := strings.Cut(s, ".")
	if !isDigits(whole) || strings.HasSuffix(s, ".") || fraction != "" && !isDigits(fraction) {
		return s
	}
	whole = strings.TrimLeft(whole[:len(whole)-1], "0") + whole[len(whole)-1:]
	if fraction = strings.TrimRight(fraction, "0"); fraction == "" {
		return whole
	}
	return whole + "." + fraction
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// canonicalAmount moves an amount from Stripe's two fields into the one that fits: unit_amount for whole minor units,
// unit_amount_decimal for the rest.
func canonicalAmount(whole, fractional string) (string, string) {
	s := canonicalDecimal(fractional)
	if s == "" {
		s = canonicalDecimal(whole)
	}
	switch w, fraction, _ := strings.Cut(s, "."); {
	case isDigits(s):
		return s, ""
	case isDigits(w) && isDigits(fraction):
		return "", s
	default:
		return whole, fractional
	}
}

// Amount moves an amount from either of Stripe's two fields into the one that fits, without needless zeros: "1400.00"
// is a whole amount. If both fields are given, Amount returns them unchanged, and Validate refuses them.
func Amount(whole, fractional string) (unitAmount, unitAmountDecimal string) {
	if whole != "" && fractional != "" {
		return whole, fractional
	}
	return canonicalAmount(whole, fractional)
}
