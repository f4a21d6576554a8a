package catalog_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// ApplyUndo gives the catalog every value of a price that differs, so that nothing is left to do.
func TestApplyUndo_TakesWhatStripeNeverChanges(t *testing.T) {
	t.Parallel()
	for name, edit := range map[string]func(*catalogv1.Price){
		"amount":         func(p *catalogv1.Price) { p.UnitAmount = "14" },
		"decimal amount": func(p *catalogv1.Price) { p.UnitAmount, p.UnitAmountDecimal = "", "0.5" },
		"interval":       func(p *catalogv1.Price) { p.Recurring = &catalogv1.Recurring{Interval: "year"} },
		"amount per units": func(p *catalogv1.Price) {
			p.TransformQuantity = &catalogv1.TransformQuantity{DivideBy: 6, Round: "up"}
		},
		"amount and name": func(p *catalogv1.Price) { p.UnitAmount, p.Nickname = "14", "cheap" },
	} {
		price := &catalogv1.Price{
			Id: "mug-eur", Currency: "eur", UnitAmount: "1400", LookupKey: "mug-eur",
			Recurring: &catalogv1.Recurring{Interval: "month"},
		}
		inStripe := proto.CloneOf(price)
		inStripe.Active, inStripe.Metadata = new(true), map[string]string{catalog.PriceMarker: "mug-eur"}
		edit(price)
		desired := &catalogv1.ProductChange{
			ProductId: "mug", Version: 2, Operation: catalogv1.Operation_OPERATION_UPSERT,
			Product: &catalogv1.Product{Id: "mug", Name: "Mug", Prices: []*catalogv1.Price{price}},
		}
		observed := &catalogv1.Observed{
			ProductId: "mug", Version: 1, Product: &catalogv1.Product{Id: "mug", Name: "Mug", Active: new(true)},
			Prices: []*catalogv1.ObservedPrice{{StripeId: "price_1", Price: inStripe}},
		}
		var fields []string
		for _, d := range catalog.Compare(desired, observed) {
			fields = append(fields, d.Field)
		}
		require.NotEmpty(t, fields, name)
		product, taken := catalog.ApplyUndo(desired, observed, fields)
		require.ElementsMatch(t, fields, taken, name)
		undone := proto.CloneOf(desired)
		undone.Product = product
		for _, d := range catalog.Compare(undone, observed) {
			require.NotContains(t, fields, d.Field, name)
		}
		_, taken = catalog.ApplyWriteBack(desired, observed, fields)
		require.NotEqual(t, len(fields), len(taken), "%s: write-back by policy leaves what Stripe never changes", name)
	}
}
