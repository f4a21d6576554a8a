package stripesim

import "strings"

// mixedAmounts refuses a request with one amount in whole minor units and another as a decimal. Stripe wants the
// amounts of a price and its currency options in one form. Recordings of 2026-09 show the refusal for an option and the
// price's own amount.
func mixedAmounts(f *field) *refusal {
	const whole, fractional = "unit_amount", "unit_amount_decimal"
	amounts := []*field{f}
	if options := f.get("currency_options"); options != nil {
		for _, key := range options.keys {
			amounts = append(amounts, options.sub[key])
		}
	}
	var first, second string
	for _, of := range amounts {
		for _, form := range []string{whole, fractional} {
			given := of.get(form)
			switch {
			case given == nil:
			case first == "":
				first = form
			case form != first && second == "":
				second = given.name
			}
		}
	}
	if second == "" {
		return nil
	}
	return invalid("parameters_exclusive", second, "You may only specify one of these parameters: %s.",
		strings.Join([]string{whole, fractional}, ", "))
}
