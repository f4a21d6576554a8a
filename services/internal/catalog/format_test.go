package catalog_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

func TestFormatAmount(t *testing.T) {
	t.Parallel()
	for _, c := range [][3]string{
		{"1400", "eur", "14.00 EUR"},
		{"5", "usd", "0.05 USD"},
		{"0", "eur", "0.00 EUR"},
		{"1400", "jpy", "1400 JPY"},
		{"1400", "kwd", "1.400 KWD"},
		{"500", "isk", "5.00 ISK"},
		{"0.5", "usd", "0.005 USD"},
		{"1400.25", "eur", "14.0025 EUR"},
		{"1.5", "jpy", "1.5 JPY"},
		{"999999999999", "eur", "9999999999.99 EUR"},
		{"", "eur", " EUR"},
	} {
		require.Equal(t, c[2], catalog.FormatAmount(c[0], c[1]))
	}
}

func TestFormatPrice(t *testing.T) {
	t.Parallel()
	monthly := &catalogv1.Recurring{Interval: "month"}
	for want, p := range map[string]*catalogv1.Price{
		"14.00 EUR": {Currency: "eur", UnitAmount: "1400"},
		"0.005 USD / month, metered": {
			Currency:          "usd",
			UnitAmountDecimal: "0.5",
			Recurring:         &catalogv1.Recurring{Interval: "month", UsageType: "metered"},
		},
		"14.00 EUR / month": {Currency: "eur", UnitAmount: "1400", Recurring: monthly},
		"14.00 EUR / 3 months": {
			Currency:   "eur",
			UnitAmount: "1400",
			Recurring:  &catalogv1.Recurring{Interval: "month", IntervalCount: 3},
		},
		"14.00 EUR per 6": {
			Currency:          "eur",
			UnitAmount:        "1400",
			TransformQuantity: &catalogv1.TransformQuantity{DivideBy: 6, Round: "up"},
		},
		"customer's choice in EUR": {
			Currency:         "eur",
			CustomUnitAmount: &catalogv1.CustomUnitAmount{Minimum: "100"},
		},
		"1 volume tiers in EUR / month": {
			Currency:  "eur",
			TiersMode: "volume",
			Tiers:     []*catalogv1.PriceTier{{UnitAmount: "100"}},
			Recurring: monthly,
		},
	} {
		require.Equal(t, want, catalog.FormatPrice(p))
	}
}
