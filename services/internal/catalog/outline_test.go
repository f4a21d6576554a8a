package catalog_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/catalog/catalogtest"
)

func TestOutline_IsEmptyExactlyWhenDiffIs(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, change := draw(t)
		o := observedState(s, change)
		steps, outline := catalog.Diff(change, o), catalog.Outline(change, o)
		require.Equal(t, len(steps) == 0, len(outline) == 0, "%v: %v", words(steps), outline)
		for _, c := range outline {
			// A price that the outline creates must be created by a step.
			if c.Verb == catalog.Created || c.Verb == catalog.Replaced {
				found := false
				for _, step := range steps {
					created := step.Kind == catalog.CreateProduct || step.Kind == catalog.CreatePrice
					found = found || created && step.PriceID == c.Price ||
						step.Kind == catalog.CreateProduct && c.Price == ""
				}
				require.True(t, found, "%+v", c)
			}
		}
	})
}

// A difference that the outline leaves out would be repaired without being in the plan.
func TestOutline_ShowsEveryDifference(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, change := draw(t)
		o := observedState(s, change)
		outline := catalog.Outline(change, o)
		for _, d := range catalog.Compare(change, o) {
			if d.Price == "" && d.Kind == catalog.Missing {
				continue // the outline has the fields of a new product instead
			}
			require.True(t, slices.ContainsFunc(outline, func(p catalog.Planned) bool {
				isWhole := d.FieldOf() == "active" || d.Field == "prices."+d.Price
				return p.Price == d.Price && (isWhole && p.Verb != catalog.Updated || slices.Contains(p.Differences, d))
			}), "%+v is not in %+v", d, outline)
		}
	})
}

func TestOutline(t *testing.T) {
	t.Parallel()
	s := &catalogtest.Stripe{}
	product := func(name, amount string) *catalogv1.Product {
		return &catalogv1.Product{
			Id: productID, Name: name, DefaultPrice: "eur", Metadata: map[string]string{"size": "L"},
			Prices: []*catalogv1.Price{
				{Id: "eur", Currency: "eur", UnitAmount: amount},
				{Id: "old", Currency: "jpy", UnitAmount: "900"},
			},
		}
	}
	told := func(change *catalogv1.ProductChange) string {
		var b strings.Builder
		for _, c := range catalog.Outline(change, observedState(s, change)) {
			fmt.Fprintf(&b, "%s %s: %s -> %s", c.Verb, c.Price, c.Before, c.After)
			for _, x := range c.Differences {
				fmt.Fprintf(&b, "; %s %q -> %q", x.FieldOf(), x.Stripe, x.Catalog)
			}
			b.WriteString("\n")
		}
		return b.String()
	}
	first := upsert(product("Mug", "1400"))
	require.Equal(t,
		`create :  -> Mug; active "" -> "true"; metadata.size "" -> "L"; name "" -> "Mug"; default_price "" -> "eur"
create eur:  -> 14.00 EUR
create old:  -> 900 JPY
`, told(first))
	apply(t, s, first)
	require.Empty(t, told(first))

	second := upsert(product("Mug XL", "1600"))
	second.Product.Metadata = nil
	second.Product.Prices = append(slices.Clip(
		second.GetProduct().GetPrices()[:1]),
		&catalogv1.Price{
			Id:         "new",
			Currency:   "kwd",
			UnitAmount: "1500",
			Recurring:  &catalogv1.Recurring{Interval: "month"},
		})
	second.Product.Prices[0].Nickname = "List"
	require.Equal(t, `update : Mug -> Mug XL; metadata.size "L" -> ""; name "Mug" -> "Mug XL"
replace eur: 14.00 EUR -> 16.00 EUR; unit_amount "1400" -> "1600"
create new:  -> 1.500 KWD / month
archive old: 900 JPY -> 
`, told(second))
	apply(t, s, second)
	require.Equal(t, `archive : Mug XL -> Mug XL; default_price "eur" -> ""
archive eur: 16.00 EUR -> 
archive new: 1.500 KWD / month -> 
`, told(&catalogv1.ProductChange{ProductId: productID, Operation: catalogv1.Operation_OPERATION_DELETE}))
}

func TestOutline_NamesPricesThatAreRetired(t *testing.T) {
	t.Parallel()
	monthly := &catalogv1.Recurring{Interval: "month", IntervalCount: 1, UsageType: "licensed"}
	price := func(stripeID, id string, active bool, recurring *catalogv1.Recurring) *catalogv1.ObservedPrice {
		return &catalogv1.ObservedPrice{StripeId: stripeID, Price: &catalogv1.Price{
			Id: id, Active: new(active), Currency: "eur", UnitAmount: "900", Recurring: recurring,
		}}
	}
	observed := &catalogv1.Observed{
		ProductId: productID,
		Product:   &catalogv1.Product{Id: productID, Name: "Mug", Active: new(true)},
		Prices: []*catalogv1.ObservedPrice{
			price("price_plan", "plan", true, monthly),
			price("price_once", "once", true, nil),
			price("price_theirs", "", true, monthly),
			price("price_archived", "", false, nil),
		},
	}
	retired := func(change *catalogv1.ProductChange) map[string][]catalog.RetiredPrice {
		out := map[string][]catalog.RetiredPrice{}
		for _, c := range catalog.Outline(change, observed) {
			if len(c.Retired) > 0 {
				out[string(c.Verb)+" "+c.Price] = c.Retired
			}
		}
		return out
	}
	plan := []catalog.RetiredPrice{{StripeID: "price_plan", Recurring: true}}
	once := []catalog.RetiredPrice{{StripeID: "price_once"}}
	require.Equal(t, map[string][]catalog.RetiredPrice{
		"replace plan": plan, "archive once": once,
	}, retired(upsert(&catalogv1.Product{
		Id: productID, Name: "Mug",
		Prices: []*catalogv1.Price{
			{Id: "plan", Currency: "eur", UnitAmount: "800", Recurring: monthly},
			{Id: "new", Currency: "eur", UnitAmount: "700"},
		},
	})))
	require.Equal(t, map[string][]catalog.RetiredPrice{
		"archive ": {{StripeID: "price_theirs", Recurring: true}}, "archive plan": plan, "archive once": once,
	}, retired(&catalogv1.ProductChange{ProductId: productID, Operation: catalogv1.Operation_OPERATION_DELETE}))
}
