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
