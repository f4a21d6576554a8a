package describe

import (
	"testing"

	"github.com/stretchr/testify/require"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

func TestDescribeDifferences_FormatsAmounts(t *testing.T) {
	t.Parallel()
	price := func(amount string) *catalogv1.Price {
		return &catalogv1.Price{Id: "mug-eur", Currency: "eur", UnitAmount: amount, Active: new(true)}
	}
	p := &ledger.Product{
		ID: "mug",
		Desired: &catalogv1.ProductChange{
			Product: &catalogv1.Product{Id: "mug", Name: "Mug", Prices: []*catalogv1.Price{price("139")}},
		},
		Observed: &catalogv1.Observed{
			Product: &catalogv1.Product{Id: "mug", Name: "Cup"},
			Prices:  []*catalogv1.ObservedPrice{{StripeId: "price_1", Price: price("149")}},
		},
	}
	differences := Drift([]*ledger.Drift{
		{Difference: catalog.Difference{
			Kind:    catalog.PriceStructure,
			Field:   "prices.mug-eur.unit_amount",
			Catalog: "139",
			Stripe:  "149",
		}},
		{Difference: catalog.Difference{Kind: catalog.Missing, Field: "prices.mug-eur", Catalog: "139 eur"}},
		{Difference: catalog.Difference{Kind: catalog.FieldDiffers, Field: "name", Catalog: "Mug", Stripe: "Cup"}},
	}, p)
	require.Equal(t, []string{
		"price structure prices.mug-eur.unit_amount: 1.39 EUR in the catalog, 1.49 EUR in Stripe",
		`missing prices.mug-eur: 1.39 EUR in the catalog, "" in Stripe`,
		`field name: "Mug" in the catalog, "Cup" in Stripe`,
	}, Texts(differences))
	require.Equal(t, "139", differences[0].GetCatalog(), "the value itself stays")
	require.Equal(t, "1.39 EUR", differences[0].GetCatalogWords())
}

func TestAddAmounts_FindsThePriceOfAFieldByItsLongestID(t *testing.T) {
	t.Parallel()
	price := func(id, currency string, active bool) *catalogv1.Price {
		return &catalogv1.Price{Id: id, Currency: currency, UnitAmount: "100", Active: new(active)}
	}
	p := &ledger.Product{
		Desired: &catalogv1.ProductChange{Product: &catalogv1.Product{
			Prices: []*catalogv1.Price{price("mug.jpy", "jpy", true), price("mug", "eur", true)},
		}},
		Observed: &catalogv1.Observed{Prices: []*catalogv1.ObservedPrice{
			{StripeId: "price_2", Price: price("mug", "eur", true)},
			{StripeId: "price_1", Price: price("mug.jpy", "jpy", false)},
			{StripeId: "price_0", Price: price("", "usd", true)},
		}},
	}
	differs := func(field string) *ledger.Drift {
		return &ledger.Drift{Difference: catalog.Difference{
			Kind: catalog.PriceStructure, Field: field, Catalog: "139", Stripe: "149",
		}}
	}
	differences := Drift([]*ledger.Drift{
		differs("prices.mug.jpy.unit_amount"),
		differs("prices.mug.unit_amount"),
		differs("prices.cup.unit_amount"),
	}, p)
	require.Equal(t, []string{
		"price structure prices.mug.jpy.unit_amount: 139 JPY in the catalog, 149 JPY in Stripe",
		"price structure prices.mug.unit_amount: 1.39 EUR in the catalog, 1.49 EUR in Stripe",
		`price structure prices.cup.unit_amount: "139" in the catalog, "149" in Stripe`,
	}, Texts(differences))
}

func TestAddAmounts_FormatsExtraPrices(t *testing.T) {
	t.Parallel()
	monthly := func(id string) *catalogv1.Price {
		return &catalogv1.Price{
			Id: id, Currency: "eur", UnitAmount: "1400",
			Recurring: &catalogv1.Recurring{Interval: "month", IntervalCount: 1},
		}
	}
	p := &ledger.Product{Observed: &catalogv1.Observed{Prices: []*catalogv1.ObservedPrice{
		{StripeId: "price_1", Price: monthly("mug-eur")}, {StripeId: "price_2", Price: monthly("")},
	}}}
	for name, c := range map[string]struct{ field, stripe, want string }{
		"second price":             {"prices.mug-eur", "price_1", "price_1 (14.00 EUR / month)"},
		"one of two is not known":  {"prices.mug-eur", "price_9, price_1", "price_9, price_1 (14.00 EUR / month)"},
		"not known":                {"prices.mug-eur", "price_8, price_9", ""},
		"made in Stripe later":     {"prices.price_2", "1400 eur every 1 month", "14.00 EUR / month"},
		"its price is not known":   {"prices.price_9", "1400 eur every 1 month", ""},
		"its tiers are not known":  {"prices.price_9", "up_to=1, unit_amount=5 eur", ""},
		"second price not managed": {"prices.mug-eur", "price_2", "price_2 (14.00 EUR / month)"},
	} {
		d := Drift([]*ledger.Drift{
			{Difference: catalog.Difference{Kind: catalog.Extra, Field: c.field, Stripe: c.stripe}},
		}, p)[0]
		require.Equal(t, c.want, d.GetStripeWords(), name)
	}
}
