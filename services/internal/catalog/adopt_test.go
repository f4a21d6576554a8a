package catalog_test

import (
	"maps"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/catalog/catalogtest"
)

// linkedTo is the catalog's id of the product that productID represents in Stripe.
const linkedTo = "catalog-prod"

// linked gives the observed state and the change the other id that the product has in the catalog.
func linked(o *catalogv1.Observed, change *catalogv1.ProductChange) (*catalogv1.Observed, *catalogv1.ProductChange) {
	o, change = proto.CloneOf(o), proto.CloneOf(change)
	o.ProductId, o.StripeId, change.ProductId = linkedTo, productID, linkedTo
	if change.GetProduct() != nil {
		change.Product.Id = linkedTo
	}
	return o, change
}

func observedLinked(s *catalogtest.Stripe,
	change *catalogv1.ProductChange,
) (*catalogv1.Observed, *catalogv1.ProductChange) {
	o, renamed := linked(s.Observed(productID), change)
	catalog.ManageMetadata(o, renamed)
	return o, renamed
}

func TestDiff_ConvergesForLinkedProduct(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, change := draw(t)
		o, renamed := observedLinked(s, change)
		inStripe := o.GetProduct() != nil
		steps := catalog.Diff(renamed, o)
		for _, step := range steps {
			require.Equal(t, linkedTo, step.ProductID)
			require.Equal(t, productID, step.StripeProduct())
		}
		done, err := passLinked(s, steps)
		require.NoError(t, err, "step %d of\n%s", done, words(steps))
		after, _ := observedLinked(s, change)
		require.Empty(t, catalog.Diff(renamed, after), words(catalog.Diff(renamed, after)))
		switch {
		case change.GetProduct() != nil:
			require.Equal(t, linkedTo, after.GetProduct().GetMetadata()[catalog.ProductMarker])
		case inStripe:
			require.Equal(t, without(o.GetProduct().GetMetadata(), catalog.AbsenceMarker),
				without(after.GetProduct().GetMetadata(), catalog.AbsenceMarker),
				"a product that left the catalog keeps its metadata")
		}
	})
}

// passLinked applies steps to the model of Stripe, which does not have the catalog's ids.
func passLinked(s *catalogtest.Stripe, steps []catalog.Step) (int, error) {
	inStripe := make([]catalog.Step, len(steps))
	for i, step := range steps {
		step.ProductID, step.StripeProductID = step.StripeProduct(), ""
		inStripe[i] = step
	}
	return s.Pass(inStripe)
}

// The steps and their keys are those of a product with the same id, except for the step that marks the product.
func TestDiff_OfLinkedProductDiffersInMarkOnly(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, change := draw(t)
		plain := catalog.Diff(change, observedState(s, change))
		o, renamed := observedLinked(s, change)
		marked := catalog.Diff(renamed, o)
		if change.GetProduct() == nil {
			require.Len(t, marked, len(plain))
		}
		keys := map[string]bool{}
		for _, step := range marked {
			if _, marks := step.Param("metadata[" + catalog.ProductMarker + "]"); !marks {
				keys[step.IdempotencyKey("default", 1)] = true
			}
		}
		for _, step := range plain {
			if step.Kind == catalog.CreatePrice || step.Kind == catalog.UpdatePrice {
				require.True(t, keys[step.IdempotencyKey("default", 1)], "%s %v", step, step.Params)
			}
		}
	})
}

// The catalog's prices in Stripe lose every mark and every record, and are adopted from Stripe's state.
func TestAdopt_CreatesNothingAgain(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		change := upsert(catalogtest.Product(productID).Draw(t, "product"))
		s := &catalogtest.Stripe{}
		apply(t, s, change)
		stripped := s.Observed(productID)
		pairs := map[string]string{}
		var prices []catalog.PriceSighting
		for _, p := range stripped.GetPrices() {
			pairs[p.GetPrice().GetId()] = p.GetStripeId()
			_, err := s.Call(catalog.UpdatePrice, p.GetStripeId(),
				catalog.Param{Name: "metadata[" + catalog.PriceMarker + "]"})
			require.NoError(t, err)
		}
		bare := s.Observed(productID)
		for _, p := range bare.GetPrices() {
			require.Empty(t, p.GetPrice().GetId())
			prices = append(prices, catalog.PriceSighting{
				StripeID: p.GetStripeId(),
				Price:    p.GetPrice(),
				Created:  p.GetCreated(),
			})
		}
		o := &catalogv1.Observed{ProductId: linkedTo}
		_, renamed := linked(o, change)
		adoption := catalog.Adoption{StripeID: productID, Prices: pairs}
		require.NoError(t,
			catalog.Adopt(o, renamed, adoption, catalog.ProductSighting{Product: bare.GetProduct()}, prices))

		// Another read before the marks are written loses nothing.
		catalog.ObserveAll(o, catalog.ProductSighting{Product: bare.GetProduct()}, prices)
		for _, step := range catalog.Diff(renamed, o) {
			require.NotContains(t, []catalog.StepKind{catalog.CreateProduct, catalog.CreatePrice}, step.Kind,
				step.String())
		}
		before := len(s.PriceIDs(productID))
		_, err := passLinked(s, catalog.Diff(renamed, o))
		require.NoError(t, err)
		require.Len(t, s.PriceIDs(productID), before)
		after, _ := linked(s.Observed(productID), change)
		for _, p := range after.GetPrices() {
			require.Equal(t, pairs[p.GetPrice().GetId()], p.GetStripeId())
		}
		// Repeating an adoption is no error, and changes nothing.
		again := proto.CloneOf(after)
		prices = nil
		for _, p := range after.GetPrices() {
			prices = append(prices, catalog.PriceSighting{
				StripeID: p.GetStripeId(),
				Price:    p.GetPrice(),
				Created:  p.GetCreated(),
			})
		}
		require.NoError(t,
			catalog.Adopt(again, renamed, adoption, catalog.ProductSighting{Product: after.GetProduct()}, prices))
		require.Equal(t, words(catalog.Diff(renamed, after)), words(catalog.Diff(renamed, again)))
	})
}

func TestAdopt_ReturnsReason(t *testing.T) {
	t.Parallel()
	price := func(id, amount string) *catalogv1.Price {
		return catalog.CanonicalPrice(&catalogv1.Price{Id: id, Currency: "eur", UnitAmount: amount})
	}
	change := upsert(&catalogv1.Product{
		Id:     "mug",
		Name:   "Mug",
		Prices: []*catalogv1.Price{price("mug-one", "1400"), price("mug-two", "900")},
	})
	change.ProductId = "mug"
	full := map[string]string{}
	for i := range 50 {
		full[string(rune('A'+i))] = "x"
	}
	crowded := upsert(&catalogv1.Product{Id: "mug", Name: "Mug", Metadata: full})
	inStripe := catalog.ProductSighting{Product: &catalogv1.Product{Id: "prod_1", Name: "A mug"}}
	marked := catalog.ProductSighting{
		Product: &catalogv1.Product{Id: "prod_1", Metadata: map[string]string{catalog.ProductMarker: "cup"}},
	}
	prices := []catalog.PriceSighting{
		{StripeID: "price_1", Price: price("", "1400")},
		{StripeID: "price_2", Price: price("mug-two", "900")},
	}
	for want, c := range map[string]struct {
		observed *catalogv1.Observed
		change   *catalogv1.ProductChange
		product  catalog.ProductSighting
		pairs    map[string]string
		replace  []string
	}{
		"the catalog has no product mug": {
			change:  &catalogv1.ProductChange{ProductId: "mug"},
			product: inStripe,
		},
		"product mug is already linked to prod_2 in Stripe": {
			observed: &catalogv1.Observed{StripeId: "prod_2"},
			product:  inStripe,
		},
		"Stripe already has a product with the catalog's id mug": {
			observed: &catalogv1.Observed{Product: &catalogv1.Product{Id: "mug"}},
			product:  inStripe,
		},
		"Stripe has no product prod_1": {},
		"product prod_1 carries the mark of another catalog product: metadata driftless_product is cup": {
			product: marked,
		},
		"the product would have 51 metadata keys with its mark, and Stripe accepts at most 50": {
			change:  crowded,
			product: inStripe,
		},
		"product prod_1 has no price price_9 in Stripe": {
			product: inStripe,
			pairs:   map[string]string{"mug-one": "price_9"},
		},
		"price price_1 is assigned to both mug-one and mug-two": {
			product: inStripe,
			pairs:   map[string]string{"mug-one": "price_1", "mug-two": "price_1"},
			replace: []string{"mug-two"},
		},
		"price price_2 carries the mark of another catalog price: metadata driftless_price is mug-two": {
			product: inStripe,
			pairs:   map[string]string{"mug-one": "price_2"},
		},
		"price price_1 is already adopted as mug-one": {
			observed: &catalogv1.Observed{
				StripeId: "prod_1",
				Prices: []*catalogv1.ObservedPrice{
					{StripeId: "price_1", Price: price("mug-one", "1400"), AdoptedAs: "mug-one"},
				},
			},
			product: inStripe,
			pairs:   map[string]string{"mug-two": "price_1"},
			replace: []string{"mug-two"},
		},
		"price price_2 is already adopted as mug-one": {
			observed: &catalogv1.Observed{
				StripeId: "prod_1",
				Prices: []*catalogv1.ObservedPrice{{
					StripeId:   "price_2",
					Price:      price("mug-one", "900"),
					AdoptedAs:  "mug-one",
					CopiedMark: "mug-two",
				}},
			},
			product: inStripe,
			pairs:   map[string]string{"mug-two": "price_2"},
		},
		"product mug has no active price mug-ten in the catalog": {
			product: inStripe,
			pairs:   map[string]string{"mug-ten": "price_1"},
		},
		"price price_1 differs from mug-two in fields that Stripe never changes (unit_amount): it would be replaced": {
			product: inStripe,
			pairs:   map[string]string{"mug-two": "price_1"},
		},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			o := &catalogv1.Observed{}
			if c.observed != nil {
				o = proto.CloneOf(c.observed)
			}
			o.ProductId = "mug"
			before := proto.CloneOf(o)
			wanted := change
			if c.change != nil {
				wanted = c.change
			}
			err := catalog.Adopt(o, wanted,
				catalog.Adoption{StripeID: "prod_1", Prices: maps.Clone(c.pairs), MayReplace: c.replace}, c.product,
				prices)
			require.EqualError(t, err, want)
			require.True(t, proto.Equal(before, o))
		})
	}
}

func TestAdopt_ReplacesPriceOnlyIfAllowed(t *testing.T) {
	t.Parallel()
	change := upsert(&catalogv1.Product{
		Id:     "mug",
		Name:   "Mug",
		Prices: []*catalogv1.Price{{Id: "mug-one", Currency: "eur", UnitAmount: "1500"}},
	})
	change.ProductId = "mug"
	o := &catalogv1.Observed{ProductId: "mug"}
	inStripe := catalog.CanonicalPrice(&catalogv1.Price{Currency: "eur", UnitAmount: "1400"})
	require.NoError(t, catalog.Adopt(o, change, catalog.Adoption{
		StripeID: "prod_1", Prices: map[string]string{"mug-one": "price_1"}, MayReplace: []string{"mug-one"},
	}, catalog.ProductSighting{Product: &catalogv1.Product{Id: "prod_1", Name: "Mug"}},
		[]catalog.PriceSighting{{StripeID: "price_1", Price: inStripe}}))
	var steps []string
	for _, step := range catalog.Diff(change, o) {
		steps = append(steps, step.String())
	}
	require.Equal(t, []string{"create price mug-one", "update product mug (prod_1)", "archive price mug-one (price_1)"},
		steps)
}
