package catalog_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// A price returns to an earlier amount, so its archived price goes on sale again. It has what others have written on
// the price since, as a new price would.
func TestDiff_PriceOnSaleAgainTakesOverUnmanagedMetadata(t *testing.T) {
	t.Parallel()
	price := func(id, amount string, active bool, metadata map[string]string) *catalogv1.ObservedPrice {
		metadata[catalog.PriceMarker] = "mug-eur"
		return &catalogv1.ObservedPrice{StripeId: id, Price: &catalogv1.Price{
			Id: "mug-eur", Active: &active, Currency: "eur", UnitAmount: amount, Metadata: metadata,
		}}
	}
	now := price("price_2", "1600", true, map[string]string{"campaign": "spring", "erp": "17"})
	now.Price.LookupKey = "mug-eur"
	steps := catalog.Diff(&catalogv1.ProductChange{
		ProductId: "mug", Version: 3, Operation: catalogv1.Operation_OPERATION_UPSERT,
		UnmanagedFields: []string{"prices.metadata"},
		Product: &catalogv1.Product{
			Id: "mug", Name: "Mug",
			Prices: []*catalogv1.Price{{Id: "mug-eur", Currency: "eur", UnitAmount: "1400"}},
		},
	}, &catalogv1.Observed{
		ProductId: "mug", Version: 2, Product: &catalogv1.Product{Id: "mug", Name: "Mug", Active: new(true)},
		Prices: []*catalogv1.ObservedPrice{
			now, price("price_1", "1400", false, map[string]string{"campaign": "winter", "shop": "berlin"}),
		},
	})
	require.Len(t, steps, 2)
	require.Equal(t, "price_1", steps[0].StripePriceID)
	written := map[string]string{}
	for _, p := range steps[0].Params {
		written[p.Name] = p.Value
	}
	require.Equal(t, "true", written["active"])
	require.Equal(t, []string{"spring", "17"}, []string{written["metadata[campaign]"], written["metadata[erp]"]})
	require.NotContains(t, written, "metadata[shop]", "its own keys stay")
	require.Equal(t, "price_2", steps[1].StripePriceID)
	require.Empty(t, steps[0].ManagedMetadata, "Driftless never removes what others have written")
}
