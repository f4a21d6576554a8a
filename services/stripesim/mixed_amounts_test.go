package stripesim_test

import (
	"net/http"
	"testing"
)

func TestPrices_RefuseAmountsInTwoForms(t *testing.T) {
	t.Parallel()
	h := startWithLamp(t)
	const base, option = "unit_amount", "currency_options[eur][unit_amount]"
	for param, mixed := range map[string][]string{
		option: {base + "_decimal", "12.5", option, "13"},
		"currency_options[eur][unit_amount_decimal]": {
			base, "12", "currency_options[eur][unit_amount_decimal]",
			"13.5",
		},
		"currency_options[gbp][unit_amount_decimal]": {
			base, "12", option, "13",
			"currency_options[gbp][unit_amount_decimal]", "14",
		},
	} {
		h.post("/v1/prices", append([]string{"product", "lamp", "currency", "usd"}, mixed...)...).
			requireRefused(http.StatusBadRequest, "parameters_exclusive", param,
				"You may only specify one of these parameters")
	}
	id := h.create("/v1/prices", "product", "lamp", "currency", "usd", base+"_decimal", "1500.0",
		"currency_options[eur][unit_amount_decimal]", "1300.5000")
	h.post("/v1/prices/"+id, option, "8", "currency_options[gbp][unit_amount_decimal]", "7.5").
		requireRefused(http.StatusBadRequest, "parameters_exclusive", "currency_options[gbp][unit_amount_decimal]",
			"You may only specify one of these parameters")
	h.create("/v1/prices", "product", "lamp", "currency", "usd", base, "1500", option, "1300")
}
