package catalog_test

import (
	"fmt"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// Stripe never changes the amount of a price. A new price replaces the old one.
func ExampleDiff() {
	desired := &catalogv1.ProductChange{
		ProductId: "pro",
		Product: &catalogv1.Product{
			Id: "pro", Name: "Pro", DefaultPrice: "monthly",
			Prices: []*catalogv1.Price{{Id: "monthly", Currency: "usd", UnitAmount: "1200"}},
		},
	}
	observed := &catalogv1.Observed{
		Product: &catalogv1.Product{Id: "pro", Name: "Pro", DefaultPrice: "price_1N"},
		Prices: []*catalogv1.ObservedPrice{{
			StripeId: "price_1N",
			Price: &catalogv1.Price{
				Id: "monthly", Currency: "usd", UnitAmount: "1000", LookupKey: "monthly",
				Metadata: map[string]string{catalog.PriceMarker: "monthly"},
			},
		}},
	}
	for _, step := range catalog.Diff(desired, observed) {
		fmt.Println(step)
	}
	// Output:
	// create price monthly
	// update product pro
	// archive price monthly (price_1N)
}

func ExampleValidate() {
	p := &catalogv1.Product{
		Id: "pro", Name: "Pro", DefaultPrice: "weekly",
		Prices: []*catalogv1.Price{{Id: "monthly", Currency: "usd"}},
	}
	for _, violation := range catalog.Validate(p) {
		fmt.Println(violation)
	}
	// Output: prices["monthly"].unit_amount: exactly one of unit_amount, unit_amount_decimal, custom_unit_amount and
	// tiers must be given default_price: must be the id of one of the product's active prices, not weekly
}

func ExampleCanonicalPrice() {
	p := catalog.CanonicalPrice(&catalogv1.Price{Currency: "USD", UnitAmountDecimal: "1000.00"})
	fmt.Println(p.GetCurrency(), p.GetUnitAmount(), p.GetBillingScheme(), p.GetActive())
	// Output: usd 1000 per_unit true
}
