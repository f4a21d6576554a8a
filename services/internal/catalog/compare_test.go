package catalog_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

func TestCompare_ReturnsKinds(t *testing.T) {
	t.Parallel()
	price := func(id string) *catalogv1.Price {
		return &catalogv1.Price{
			Id:         id,
			Currency:   "eur",
			UnitAmount: "1400",
			LookupKey:  id,
			Metadata:   map[string]string{catalog.PriceMarker: id},
		}
	}
	for name, c := range map[string]struct {
		edit func(desired *catalogv1.ProductChange, observed *catalogv1.Observed)
		want []catalog.Difference
	}{
		"nothing": {func(*catalogv1.ProductChange, *catalogv1.Observed) {}, nil},
		"missing": {
			func(_ *catalogv1.ProductChange, o *catalogv1.Observed) { o.Product, o.Prices = nil, nil },
			[]catalog.Difference{{Kind: catalog.Missing, Catalog: "Mug"}},
		},
		"missing price": {
			func(_ *catalogv1.ProductChange, o *catalogv1.Observed) { o.Prices = o.GetPrices()[:1] },
			[]catalog.Difference{{Kind: catalog.Missing, Field: "prices.b", Price: "b", Catalog: "1400 eur"}},
		},
		"field": {
			func(_ *catalogv1.ProductChange, o *catalogv1.Observed) { o.Product.Description = "By hand" },
			[]catalog.Difference{{Kind: catalog.FieldDiffers, Field: "description", Stripe: "By hand"}},
		},
		"list": {func(d *catalogv1.ProductChange, o *catalogv1.Observed) {
			d.Product.MarketingFeatures = []*catalogv1.MarketingFeature{{Name: "Safe"}, {Name: "Fast"}}
			o.Product.MarketingFeatures = []*catalogv1.MarketingFeature{{Name: "Slow"}}
		}, []catalog.Difference{{
			Kind:    catalog.FieldDiffers,
			Field:   "marketing_features",
			Catalog: "Safe, Fast",
			Stripe:  "Slow",
		}}},
		"key of metadata": {func(d *catalogv1.ProductChange, o *catalogv1.Observed) {
			d.Product.Metadata, o.Product.Metadata = map[string]string{"color": "red"},
				map[string]string{"color": "blue"}
		}, []catalog.Difference{{Kind: catalog.FieldDiffers, Field: "metadata.color", Catalog: "red", Stripe: "blue"}}},
		"field of a price": {
			func(_ *catalogv1.ProductChange, o *catalogv1.Observed) { o.Prices[0].Price.Nickname = "By hand" },
			[]catalog.Difference{{
				Kind:   catalog.FieldDiffers,
				Field:  "prices.a.nickname",
				Price:  "a",
				Stripe: "By hand",
			}},
		},
		"currency option": {func(d *catalogv1.ProductChange, o *catalogv1.Observed) {
			d.Product.Prices[0].CurrencyOptions = map[string]*catalogv1.CurrencyOption{"usd": {UnitAmount: "1500"}}
			o.Prices[0].Price.CurrencyOptions = map[string]*catalogv1.CurrencyOption{"usd": {UnitAmount: "1600"}}
		}, []catalog.Difference{{
			Kind:    catalog.FieldDiffers,
			Field:   "prices.a.currency_options.usd",
			Price:   "a",
			Catalog: "unit_amount=1500",
			Stripe:  "unit_amount=1600",
		}}},
		"structure": {
			func(_ *catalogv1.ProductChange, o *catalogv1.Observed) { o.Prices[0].Price.UnitAmount = "1200" },
			[]catalog.Difference{{
				Kind:    catalog.PriceStructure,
				Field:   "prices.a.unit_amount",
				Price:   "a",
				Catalog: "1400",
				Stripe:  "1200",
			}},
		},
		"default price": {
			func(_ *catalogv1.ProductChange, o *catalogv1.Observed) { o.Product.DefaultPrice = "price_b" },
			[]catalog.Difference{{Kind: catalog.WrongDefaultPrice, Field: "default_price", Catalog: "a", Stripe: "b"}},
		},
		"default price without a mark": {
			func(_ *catalogv1.ProductChange, o *catalogv1.Observed) { o.Product.DefaultPrice = "price_x" },
			[]catalog.Difference{{
				Kind:    catalog.WrongDefaultPrice,
				Field:   "default_price",
				Catalog: "a",
				Stripe:  "price_x",
			}},
		},
		"archived in Stripe": {
			func(_ *catalogv1.ProductChange, o *catalogv1.Observed) { o.Product.Active = new(false) },
			[]catalog.Difference{{Kind: catalog.ArchivedInStripe, Field: "active", Catalog: "true", Stripe: "false"}},
		},
		"price archived in Stripe": {
			func(_ *catalogv1.ProductChange, o *catalogv1.Observed) { o.Prices[1].Price.Active = new(false) },
			[]catalog.Difference{{
				Kind:    catalog.ArchivedInStripe,
				Field:   "prices.b.active",
				Price:   "b",
				Catalog: "true",
				Stripe:  "false",
			}},
		},
		"archived in the catalog": {
			func(d *catalogv1.ProductChange, _ *catalogv1.Observed) { d.Product.Active = new(false) },
			[]catalog.Difference{{Kind: catalog.ArchivedInCatalog, Field: "active", Catalog: "false", Stripe: "true"}},
		},
		"gone from the catalog": {func(d *catalogv1.ProductChange, o *catalogv1.Observed) {
			d.Product, d.Operation, o.Prices = nil, catalogv1.Operation_OPERATION_DELETE, nil
		}, []catalog.Difference{{Kind: catalog.ArchivedInCatalog, Field: "active", Catalog: "false", Stripe: "true"}}},
		"price gone from the catalog": {
			func(d *catalogv1.ProductChange, _ *catalogv1.Observed) {
				d.Product.Prices = d.GetProduct().GetPrices()[:1]
			},
			[]catalog.Difference{{
				Kind:    catalog.ArchivedInCatalog,
				Field:   "prices.b.active",
				Price:   "b",
				Catalog: "false",
				Stripe:  "true",
			}},
		},
		"second price with the same id": {func(_ *catalogv1.ProductChange, o *catalogv1.Observed) {
			o.Prices = append(o.GetPrices(), &catalogv1.ObservedPrice{
				StripeId: "price_twin",
				Created:  9,
				Price:    proto.CloneOf(o.GetPrices()[1].GetPrice()),
			})
		}, []catalog.Difference{{Kind: catalog.Extra, Field: "prices.b", Price: "b", Stripe: "price_twin"}}},
		"second price of the same second": {func(_ *catalogv1.ProductChange, o *catalogv1.Observed) {
			// Its id is the first one, but only one price can have the lookup key.
			twin := proto.CloneOf(o.GetPrices()[1].GetPrice())
			twin.LookupKey = ""
			o.Prices = append(o.GetPrices(), &catalogv1.ObservedPrice{
				StripeId: "price_a_twin", Created: o.GetPrices()[1].GetCreated(), Price: twin,
			})
		}, []catalog.Difference{{Kind: catalog.Extra, Field: "prices.b", Price: "b", Stripe: "price_a_twin"}}},
		"second price of the same second, no key in the catalog": {func(d *catalogv1.ProductChange, o *catalogv1.Observed) {
			// The price's id is its key in Stripe then.
			d.Product.Prices[1].LookupKey = ""
			o.Prices[1].Price.LookupKey = "b"
			twin := proto.CloneOf(o.GetPrices()[1].GetPrice())
			twin.LookupKey = ""
			o.Prices = append(o.GetPrices(), &catalogv1.ObservedPrice{
				StripeId: "price_a_twin", Created: o.GetPrices()[1].GetCreated(), Price: twin,
			})
		}, []catalog.Difference{{Kind: catalog.Extra, Field: "prices.b", Price: "b", Stripe: "price_a_twin"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			desired := &catalogv1.ProductChange{ProductId: "mug", Product: &catalogv1.Product{
				Id: "mug", Name: "Mug", DefaultPrice: "a", Prices: []*catalogv1.Price{price("a"), price("b")},
			}}
			observed := &catalogv1.Observed{
				ProductId: "mug",
				Product:   &catalogv1.Product{Id: "mug", Name: "Mug", DefaultPrice: "price_a"},
			}
			for i, id := range []string{"a", "b"} {
				observed.Prices = append(observed.Prices, &catalogv1.ObservedPrice{
					StripeId: "price_" + id,
					Created:  int64(i),
					Price:    price(id),
				})
			}
			for _, p := range desired.GetProduct().GetPrices() {
				delete(p.Metadata, catalog.PriceMarker)
			}
			c.edit(desired, observed)
			require.Equal(t, c.want, catalog.Compare(desired, observed))
			require.Equal(t, len(c.want) > 0, len(catalog.Diff(desired, observed)) > 0)
		})
	}
}
