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
		Prices: []*catalogv1.Price{{Id: "monthly", Currency: "USD", UnitAmount: "1000"}},
	}
	for _, violation := range catalog.Validate(p) {
		fmt.Printf("%s %s.\n", violation.Field, violation.Message)
	}
	// Output:
	// prices["monthly"].currency must be a currency code of 3 to 8 letters in lower case, such as eur, not "USD".
	// default_price must be the id of one of the product's active prices, not weekly.
}

func ExampleCanonicalPrice() {
	p := catalog.CanonicalPrice(&catalogv1.Price{Currency: "USD", UnitAmountDecimal: "1000.00"})
	fmt.Println(p.GetCurrency(), p.GetUnitAmount(), p.GetBillingScheme(), p.GetActive())
	// Output: usd 1000 per_unit true
}

// Stripe owns the description here, so its value is written back to the catalog. The name is repaired in Stripe.
func ExampleResolve() {
	policy, err := catalog.NewPolicy(catalog.Repair, map[string]catalog.Rule{
		"description": {Owner: catalog.OwnerStripe, Action: catalog.WriteBack},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	desired := &catalogv1.ProductChange{
		ProductId: "pro",
		Product:   &catalogv1.Product{Id: "pro", Name: "Pro", Description: "For teams"},
	}
	observed := &catalogv1.Observed{
		ProductId: "pro",
		Product:   &catalogv1.Product{Id: "pro", Name: "Pro (draft)", Description: "For small teams"},
	}
	resolution := catalog.Resolve(policy, desired, observed, catalog.Exceptions{})
	for _, d := range resolution.Decisions {
		fmt.Printf("%s: catalog %q, Stripe %q: %s\n", d.Field, d.Catalog, d.Stripe, d.Action)
	}
	for _, step := range resolution.Steps(observed) {
		for _, p := range step.Params {
			fmt.Printf("%s: %s=%s\n", step, p.Name, p.Value)
		}
	}
	// Output:
	// description: catalog "For teams", Stripe "For small teams": write-back
	// name: catalog "Pro", Stripe "Pro (draft)": repair
	// update product pro: name=Pro
}

func ExamplePolicy_Rule() {
	policy, err := catalog.NewPolicy(catalog.Repair, map[string]catalog.Rule{
		"name":           {Action: catalog.Report},
		"metadata.seo_*": {Owner: catalog.OwnerStripe},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, field := range []string{"name", "metadata.seo_title", "metadata.color", "prices.nickname"} {
		rule := policy.Rule(field)
		fmt.Printf("%s: owner %s, action %s\n", field, rule.Owner, rule.Action)
	}
	// Output:
	// name: owner catalog, action report
	// metadata.seo_title: owner stripe, action write-back
	// metadata.color: owner catalog, action repair
	// prices.nickname: owner catalog, action repair
}
