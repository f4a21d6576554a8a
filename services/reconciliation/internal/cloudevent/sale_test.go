package cloudevent

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
)

// offer returns a product in Stripe with active prices of the given marks. A mark may be empty.
func offer(marks ...string) State {
	o := &catalogv1.Observed{
		StripeId: "prod_1",
		Version:  7,
		Product:  &catalogv1.Product{Id: "mug", Name: "Mug", Active: proto.Bool(true)},
	}
	for i, mark := range marks {
		o.Prices = append(o.Prices, &catalogv1.ObservedPrice{
			StripeId: "price_" + string(rune('a'+i)),
			Price:    &catalogv1.Price{Id: mark, Currency: "eur", UnitAmountDecimal: "0.5", Active: proto.Bool(true)},
		})
	}
	return State{ID: "mug", Observed: o}
}

func kindsOf(events []Event) (out []string) {
	for _, e := range events {
		out = append(out, string(e.Kind)+" "+e.Fact)
	}
	return out
}

func TestSaleEvents(t *testing.T) {
	t.Parallel()
	none := State{ID: "mug"}
	archived := offer("small")
	archived.Observed.Product.Active = proto.Bool(false)
	archived.Observed.Prices[0].Price.Active = proto.Bool(false)
	foreign := offer("small")
	foreign.Observed.StripeId, foreign.Observed.Version = "", 0
	wanted := foreign
	wanted.Desired = &catalogv1.ProductChange{}
	for name, c := range map[string]struct {
		before, after State
		want          []string
	}{
		"created":           {none, offer("small"), []string{"product.live ", "price.live price_a"}},
		"unchanged":         {offer("small"), offer("small"), nil},
		"another price":     {offer("small"), offer("small", "large"), []string{"price.live price_b"}},
		"a price of others": {offer("small"), offer("small", ""), nil},
		"a mark was lost":   {offer("small"), offer(""), nil},
		"archived":          {offer("small"), archived, []string{"price.archived price_a", "product.archived "}},
		"back again":        {archived, offer("small"), []string{"product.live ", "price.live price_a"}},
		"deleted":           {offer("small"), none, []string{"price.archived price_a", "product.archived "}},
		"only in Stripe":    {none, foreign, nil},
		"taken over":        {foreign, wanted, []string{"product.live ", "price.live price_a"}},
	} {
		require.Equal(t, c.want, kindsOf(SaleEvents(c.before, c.after)), name)
	}
	data := SaleEvents(none, offer("small"))
	require.Equal(t, Product{ProductID: "mug", StripeProductID: "prod_1", Name: "Mug", Version: "7"}, data[0].Data)
	require.Equal(t, Price{
		ProductID:         "mug",
		StripeProductID:   "prod_1",
		PriceID:           "small",
		StripePriceID:     "price_a",
		Currency:          "eur",
		UnitAmountDecimal: "0.5",
		BillingScheme:     "per_unit",
		Version:           "7",
	}, data[1].Data)
	deleted := SaleEvents(offer(), State{ID: "mug", Observed: &catalogv1.Observed{StripeId: "prod_1", Version: 7}})
	require.Equal(t,
		Product{ProductID: "mug", StripeProductID: "prod_1", Name: "Mug", Deleted: true, Version: "7"}, deleted[0].Data)
}
