package catalog

// Amount moves an amount from either of Stripe's two fields into the one that fits, without needless zeros: "1400.00"
// is a whole amount. If both fields are given, Amount returns them unchanged, and Validate refuses them.
func Amount(whole, fractional string) (unitAmount, unitAmountDecimal string) {
	if whole != "" && fractional != "" {
		return whole, fractional
	}
	return canonicalAmount(whole, fractional)
}
