package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
)

func TestAPlanIsReadable(t *testing.T) {
	pending := controlv1.ProductState_PRODUCT_STATE_PENDING
	plan := &controlv1.PlanResponse{Compared: 12, InFlight: 3, Products: []*controlv1.ProductPlan{
		{ProductId: "mug", State: controlv1.ProductState_PRODUCT_STATE_DRIFTED, Changes: []*controlv1.PlannedChange{
			{Verb: "update", Before: "Mug", After: "Mug XL", Differences: []*meshv1.Difference{
				{Field: "name", Stripe: "Mug", Catalog: "Mug XL"}, {Field: "metadata.size", Catalog: "L"}, {Field: "description", Stripe: "Old"},
			}},
			{Verb: "replace", PriceId: "mug-eur", Before: "14.00 EUR", After: "16.00 EUR", Differences: []*meshv1.Difference{
				{Field: "prices.mug-eur.unit_amount", Stripe: "1400", Catalog: "1600"}, {Field: "prices.mug-eur.tax_behavior", Stripe: "inclusive", Catalog: "exclusive"},
			}},
			{Verb: "create", PriceId: "mug-jpy", After: "1400 JPY / month"},
			{Verb: "archive", PriceId: "mug-old", Before: "9.00 EUR"},
			{Verb: "update", PriceId: "mug-usd", Before: "15.00 USD", After: "15.00 USD", Differences: []*meshv1.Difference{{Field: "prices.mug-usd.nickname", Stripe: "a", Catalog: "b"}}},
		}},
		{ProductId: "new", State: pending, Changes: []*controlv1.PlannedChange{{Verb: "create", After: "New", Differences: []*meshv1.Difference{{Field: "name", Catalog: "New"}}}}},
		{ProductId: "gone", State: pending, Changes: []*controlv1.PlannedChange{{Verb: "archive", Before: "Gone", After: "Gone"}}},
		{ProductId: "bad", State: controlv1.ProductState_PRODUCT_STATE_DEAD},
	}}
	var b strings.Builder
	printPlan(&b, plan, false)
	require.Equal(t, `~ mug  "Mug XL"  (drifted)
    ~ name: "Mug" -> "Mug XL"
    + metadata.size: "L"
    - description: "Old"
    ± price mug-eur  14.00 EUR -> 16.00 EUR  (a new price takes its place)
        ~ tax_behavior: "inclusive" -> "exclusive"
    + price mug-jpy  1400 JPY / month
    - archive price mug-old  9.00 EUR
    ~ price mug-usd  15.00 USD
        ~ nickname: "a" -> "b"
+ new  "New"  (pending)
    + name: "New"
- gone  "Gone"  (pending)
! bad  (dead)
    its newest state was refused: `+"`driftless dead show bad`"+` shows why

Plan: 1 to create, 1 to change, 1 to archive, 1 refused; 12 products compared, 3 messages in flight: this may change.
`, b.String())

	var coloured strings.Builder
	printPlan(&coloured, plan, true)
	require.Contains(t, coloured.String(), "\x1b[32m+\x1b[0m new")
	require.Equal(t, b.String(), strings.NewReplacer("\x1b[32m", "", "\x1b[33m", "", "\x1b[35m", "", "\x1b[31m", "", "\x1b[0m", "").Replace(coloured.String()))

	b.Reset()
	printPlan(&b, &controlv1.PlanResponse{Compared: 5}, false)
	require.Equal(t, "No differences: 5 products compared.\n", b.String())
}
