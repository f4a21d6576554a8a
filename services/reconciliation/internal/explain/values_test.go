package explain_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/explain"
)

func priced(name, amount string) *catalogv1.Product {
	p := mug(name)
	p.Prices = []*catalogv1.Price{{Id: "mug-eur", Currency: "eur", UnitAmount: amount}}
	return p
}

func held(stripeID, amount string, active bool) *catalogv1.ObservedPrice {
	return &catalogv1.ObservedPrice{StripeId: stripeID, Price: &catalogv1.Price{
		Id: "mug-eur", Currency: "eur", UnitAmount: amount, Active: proto.Bool(active),
	}}
}

// fields writes the fields in lines.
func fields(p explain.Places) (out []string) {
	for _, f := range explain.Fields(p) {
		line := fmt.Sprintf("%s: %s | %s | %s", f.GetField(), f.GetRow(), f.GetCaptured(), f.GetStripe())
		if f.GetDiffers() {
			line = "! " + line
		}
		out = append(out, line)
	}
	return out
}

func TestFields(t *testing.T) {
	observed := &catalogv1.Observed{Product: mug("Mug"), Prices: []*catalogv1.ObservedPrice{
		held("price_old", "1300", false), held("price_1", "1400", true),
	}}
	require.Equal(t, []string{"prices.mug-eur: 14.00 EUR | 14.00 EUR | 14.00 EUR"}, fields(explain.Places{
		RowRead: true, Row: priced("Mug", "1400"), Captured: priced("Mug", "1400"), Observed: observed,
	}), "the prices are shown of an equal product, too")

	require.Equal(t, []string{"! prices.mug-eur: 15.00 EUR | 15.00 EUR | 14.00 EUR", "! name: Cup | Mug | Mug"},
		fields(explain.Places{
			RowRead: true, Row: priced("Cup", "1500"), Captured: priced("Mug", "1500"), Observed: observed,
			PriceID: "mug-eur",
			Differences: []*meshv1.Difference{
				{Kind: "price_structure", Field: "prices.mug-eur.unit_amount", Catalog: "1500", Stripe: "1400"},
			},
		}), "an amount is shown once")

	require.Equal(t,
		[]string{
			"! prices.mug-eur:  | 14.00 EUR | 14.00 EUR, archived",
			"! default_price:  | mug-eur (14.00 EUR) | price_9 (9.99 EUR)",
		},
		fields(explain.Places{
			Captured: priced("Mug", "1400"),
			Observed: &catalogv1.Observed{Prices: []*catalogv1.ObservedPrice{held("price_1", "1400", false)}},
			Differences: []*meshv1.Difference{{
				Field:        "default_price",
				CatalogWords: "mug-eur (14.00 EUR)",
				StripeWords:  "price_9 (9.99 EUR)",
			}},
		}), "a row that was not read has no values")
}

func TestStripePrice_IgnoresAKeptPrice(t *testing.T) {
	kept := held("price_kept", "1300", true)
	kept.KeepUntil = timestamppb.Now()
	o := &catalogv1.Observed{Prices: []*catalogv1.ObservedPrice{kept, held("price_1", "1400", true)}}
	require.Equal(t, "price_1", explain.StripePrice(o, "mug-eur").GetStripeId())
	require.Nil(t, explain.StripePrice(o, "other"))
}
