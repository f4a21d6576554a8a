package catalog_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

func heldPrice(stripeID, id, lookupKey string, active bool, created int64) *catalogv1.ObservedPrice {
	return &catalogv1.ObservedPrice{
		StripeId: stripeID, Created: created,
		Price: &catalogv1.Price{Id: id, LookupKey: lookupKey, Active: &active},
	}
}

func TestPricesInUse(t *testing.T) {
	for name, test := range map[string]struct {
		observed *catalogv1.Observed
		want     map[string]string
	}{
		"the active one": {
			observed: &catalogv1.Observed{Prices: []*catalogv1.ObservedPrice{
				heldPrice("price_2", "mug", "", false, 2), heldPrice("price_1", "mug", "", true, 1),
			}},
			want: map[string]string{"mug": "price_1"},
		},
		"the one that has taken the lookup key, while the default is still the old one": {
			observed: &catalogv1.Observed{
				Product: &catalogv1.Product{DefaultPrice: "price_1"},
				Prices: []*catalogv1.ObservedPrice{
					heldPrice("price_1", "mug", "", true, 1), heldPrice("price_2", "mug", "mug", true, 2),
				},
			},
			want: map[string]string{"mug": "price_2"},
		},
		"an older one that is used again": {
			observed: &catalogv1.Observed{Prices: []*catalogv1.ObservedPrice{
				heldPrice("price_1", "mug", "mug", true, 1), heldPrice("price_2", "mug", "", true, 2),
			}},
			want: map[string]string{"mug": "price_1"},
		},
		"the latest archived one if none is active": {
			observed: &catalogv1.Observed{Prices: []*catalogv1.ObservedPrice{
				heldPrice("price_1", "mug", "", false, 1), heldPrice("price_2", "mug", "", false, 2),
			}},
			want: map[string]string{"mug": "price_2"},
		},
		"no price of others": {
			observed: &catalogv1.Observed{Version: 1, Prices: []*catalogv1.ObservedPrice{
				heldPrice("price_1", "", "", true, 1),
			}},
			want: map[string]string{},
		},
		"the prices of an imported product, under Stripe's ids": {
			observed: &catalogv1.Observed{Found: true, Prices: []*catalogv1.ObservedPrice{
				heldPrice("price_1", "", "", false, 1), heldPrice("price_2", "price_1", "", true, 2),
				heldPrice("price_3", "", "", true, 1),
			}},
			want: map[string]string{"price_1": "price_2", "price_3": "price_3"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := map[string]string{}
			for id, p := range catalog.PricesInUse(test.observed) {
				got[id] = p.GetStripeId()
			}
			require.Equal(t, test.want, got)
		})
	}
}

// An application that uses a price must not get one that Stripe refuses while another one sells.
func TestPricesInUse_PrefersActivePricesInAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := &catalogv1.Observed{
			Product: &catalogv1.Product{DefaultPrice: rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "default")},
		}
		active := map[string]bool{}
		for _, id := range rapid.SliceOfNDistinct(rapid.StringMatching("[a-f]"), 0, 6, rapid.ID[string]).Draw(t,
			"ids") {
			p := heldPrice(id, rapid.SampledFrom([]string{"mug", "cup"}).Draw(t, "price"),
				rapid.SampledFrom([]string{"", "key"}).Draw(t, "key"), rapid.Bool().Draw(t, "active"),
				rapid.Int64Range(1, 3).Draw(t, "created"))
			o.Prices = append(o.Prices, p)
			active[p.GetPrice().GetId()] = active[p.GetPrice().GetId()] || p.GetPrice().GetActive()
		}
		used := catalog.PricesInUse(o)
		require.Len(t, used, len(active))
		for id, sells := range active {
			require.Equal(t, sells, used[id].GetPrice().GetActive(), id)
		}
		o.Prices = rapid.Permutation(o.Prices).Draw(t, "order")
		require.Equal(t, used, catalog.PricesInUse(o))
	})
}
