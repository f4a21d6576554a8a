package catalog

import (
	"slices"
	"strconv"
	"strings"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
)

// Currencies whose minor unit is not a hundredth (https://docs.stripe.com/currencies#zero-decimal). ISK and UGX have no
// minor unit either, but Stripe counts them in hundredths.
var (
	zeroDecimal = strings.Fields("bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf")
	threePlaces = strings.Fields("bhd jod kwd omr tnd")
)

// FormatAmount writes an amount of minor units, whole or with decimals, for people: "14.00 EUR", "1400 JPY". It returns
// a text that is no number with the currency only.
func FormatAmount(minor, currency string) string {
	places := int32(2)
	switch {
	case slices.Contains(zeroDecimal, currency):
		places = 0
	case slices.Contains(threePlaces, currency):
		places = 3
	}
	d, ok := parseDecimal(minor)
	if !ok {
		return minor + " " + strings.ToUpper(currency)
	}
	d = d.Shift(-places)
	// At least the decimal places of the currency, and more if the amount has more.
	return d.StringFixed(max(places, -d.Exponent())) + " " + strings.ToUpper(currency)
}

// FormatPrice writes the amount and the interval of a price: "14.00 EUR / month".
func FormatPrice(p *catalogv1.Price) string {
	p = canonicalPrice(p)
	var words string
	switch c := p.GetCustomUnitAmount(); {
	case len(p.GetTiers()) > 0 || p.GetTiersMode() != "":
		words = strings.TrimSpace(strconv.Itoa(len(p.GetTiers()))+" "+p.GetTiersMode()) + " tiers in " +
			strings.ToUpper(p.GetCurrency())
	case c != nil:
		words = "customer's choice in " + strings.ToUpper(p.GetCurrency())
	default:
		words = FormatAmount(p.GetUnitAmount()+p.GetUnitAmountDecimal(), p.GetCurrency())
	}
	if t := p.GetTransformQuantity(); t != nil {
		words += " per " + strconv.FormatUint(t.GetDivideBy(), 10)
	}
	if r := p.GetRecurring(); r != nil {
		every := " / " + r.GetInterval()
		if n := r.GetIntervalCount(); n > 1 {
			every = " / " + strconv.FormatUint(uint64(n), 10) + " " + r.GetInterval() + "s"
		}
		words += every
		if r.GetUsageType() == "metered" {
			words += ", metered"
		}
	}
	return words
}
