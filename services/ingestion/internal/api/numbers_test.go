package api_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// The API takes what Stripe's API returns: numbers, and "inf" for the last tier.
func TestUpsertProducts_TakesNumbers(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	body := func(amount string) string {
		return `{"products": [{"id": "mug", "name": "Mug", "package_dimensions": {"height": 1.50, "length": 2, "weight": 3,
			"width": 4}, "prices": [
				{"id": "mug-eur", "currency": "eur", "unit_amount": ` + amount + `},
				{"id": "mug-club", "currency": "eur", "billing_scheme": "tiered", "tiers_mode": "graduated",
					"recurring": {"interval": "month"}, "tiers": [
						{"up_to": 999999999999999999, "unit_amount_decimal": 0.000000000001},
						{"up_to": "inf", "flat_amount": 0, "unit_amount": 5}]}]}]}`
	}
	status, answer := r.post("UpsertProducts", body("1400"))
	require.Equal(t, http.StatusOK, status, answer)
	states, err := r.mapping().Read(t.Context(), []string{"mug"})
	require.NoError(t, err)
	mug := states.States["mug"]
	require.Empty(t, mug.Faults)
	require.Equal(t, "1.5", mug.Product.GetPackageDimensions().GetHeight())
	require.Len(t, mug.Product.GetPrices(), 2)
	for _, p := range mug.Product.GetPrices() {
		if p.GetId() == "mug-eur" {
			require.Equal(t, "1400", p.GetUnitAmount())
			continue
		}
		require.Equal(t, "999999999999999999", p.GetTiers()[0].GetUpTo())
		require.Equal(t, "0.000000000001", p.GetTiers()[0].GetUnitAmountDecimal())
		require.Empty(t, p.GetTiers()[1].GetUpTo())
	}

	for amount, want := range map[string]string{
		"1e50":  "products[0].prices[0].unit_amount: must be a decimal number of at most 40 digits",
		"14.50": `products[0].prices[0].unit_amount`,
		"-1":    `products[0].prices[0].unit_amount`,
		"true":  "invalid value for string field unitAmount",
	} {
		before := r.rows()
		status, answer := r.post("UpsertProducts", body(amount))
		require.Equal(t, http.StatusBadRequest, status, answer)
		require.Contains(t, answer, want)
		require.Equal(t, before, r.rows())
	}
}
