package catalog

// Amount writes an amount that came in either of Stripe's two fields into the one that fits, without needless zeros:
// "1400.00" is a whole amount. Two amounts at once are left as they are, for Validate to refuse.
func Amount(whole, fractional string) (unitAmount, unitAmountDecimal string) {
	if whole != "" && fractional != "" {
		return whole, fractional
	}
	return canonicalAmount(whole, fractional)
}
