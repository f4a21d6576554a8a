package catalog_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

func TestChanges_FormatsAmounts(t *testing.T) {
	t.Parallel()
	product := func(prices ...*catalogv1.Price) *catalogv1.Product {
		return &catalogv1.Product{Id: "mug", Name: "Mug", Prices: prices}
	}
	price := func(currency, amount string) *catalogv1.Price {
		return &catalogv1.Price{Id: "mug-" + currency, Currency: currency, UnitAmount: amount}
	}
	monthly := price("usd", "900")
	monthly.Recurring = &catalogv1.Recurring{Interval: "month", IntervalCount: 1}
	exact := price("eur", "")
	exact.UnitAmountDecimal = "139.5"
	for name, c := range map[string]struct {
		before, after *catalogv1.Product
		want          []catalog.Change
	}{
		"price added": {
			before: product(),
			after:  product(price("eur", "139")),
			want:   []catalog.Change{{Field: "prices.mug-eur", New: "1.39 EUR"}},
		},
		"price removed": {
			before: product(monthly),
			after:  product(),
			want:   []catalog.Change{{Field: "prices.mug-usd", Old: "9.00 USD / month"}},
		},
		"amount changed": {
			before: product(price("eur", "139")),
			after:  product(price("eur", "149")),
			want:   []catalog.Change{{Field: "prices.mug-eur.unit_amount", Old: "1.39 EUR", New: "1.49 EUR"}},
		},
		"currency without decimals": {
			before: product(price("jpy", "139")),
			after:  product(price("jpy", "149")),
			want:   []catalog.Change{{Field: "prices.mug-jpy.unit_amount", Old: "139 JPY", New: "149 JPY"}},
		},
		"decimal amount": {
			before: product(price("eur", "139")),
			after:  product(exact),
			want:   []catalog.Change{{Field: "prices.mug-eur.unit_amount", Old: "1.39 EUR", New: "1.395 EUR"}},
		},
		"other field": {
			before: &catalogv1.Product{Id: "mug", Name: "139"},
			after:  &catalogv1.Product{Id: "mug", Name: "149"},
			want:   []catalog.Change{{Field: "name", Old: "139", New: "149"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, catalog.Changes(c.before, c.after))
		})
	}
}
