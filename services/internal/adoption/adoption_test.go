package adoption_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/adoption"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

var word = rapid.SampledFrom([]string{"", "a", "b", "c", "d", "e"})

// sides draws catalog and Stripe products that have much in common.
func sides(t *rapid.T) (wanted []adoption.Wanted, held []adoption.Existing) {
	name := rapid.SampledFrom([]string{"Mug", "mug ", "MUG!", "Cup", "Tee", "Plate", ""})
	ids := rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f", "g", "h"})
	keys := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"k1", "k2", "k3", "k4", "k5", "k6"}), 0, 2,
		rapid.ID[string])
	for _, id := range rapid.SliceOfNDistinct(ids, 0, 6, rapid.ID[string]).Draw(t, "catalog") {
		wanted = append(wanted, adoption.Wanted{
			ID:         id,
			Name:       name.Draw(t, "name"),
			Value:      word.Draw(t, "value"),
			LookupKeys: keys.Draw(t, "keys"),
		})
	}
	for _, id := range rapid.SliceOfNDistinct(ids, 0, 6, rapid.ID[string]).Draw(t, "stripe") {
		if rapid.Bool().Draw(t, "own id") {
			id = "prod_" + id
		}
		held = append(held, adoption.Existing{
			ID:         id,
			Name:       name.Draw(t, "name"),
			Value:      word.Draw(t, "value"),
			LookupKeys: keys.Draw(t, "keys"),
		})
	}
	return wanted, held
}

func TestMatches_GivesNoProductAwayTwice(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		wanted, held := sides(t)
		products, certain := map[string]bool{}, map[string]string{}
		for _, m := range adoption.Matches(wanted, held) {
			require.False(t, products[m.Product], "two matches for %s", m.Product)
			products[m.Product] = true
			require.True(t, m.StripeID != "" || len(m.Candidates) > 1, "%+v", m)
			if m.IsCertain() {
				require.Empty(t, certain[m.StripeID], "%s and %s", certain[m.StripeID], m.Product)
				certain[m.StripeID] = m.Product
			}
		}
		for _, m := range adoption.Matches(wanted, held) {
			for _, id := range append(m.Candidates, m.StripeID) {
				if owner := certain[id]; owner != "" {
					require.Equal(t, owner, m.Product, "%s is %s beyond doubt", id, owner)
				}
			}
		}
	})
}

func TestMatches_DoesNotDependOnOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		wanted, held := sides(t)
		matches := slices.Clone(adoption.Matches(wanted, held))
		again := adoption.Matches(rapid.Permutation(wanted).Draw(t, "catalog"),
			rapid.Permutation(held).Draw(t, "stripe"))
		require.Equal(t, matches, again)
	})
}

// TestMatches_CertainOnesHaveAReason: the products of a certain match share an id, a value or a lookup key, and no
// other product shares a stronger one.
func TestMatches_CertainOnesHaveAReason(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		wanted, held := sides(t)
		for _, m := range adoption.Matches(wanted, held) {
			if m.StripeID == "" {
				continue
			}
			w := wanted[slices.IndexFunc(wanted, func(w adoption.Wanted) bool { return w.ID == m.Product })]
			h := held[slices.IndexFunc(held, func(h adoption.Existing) bool { return h.ID == m.StripeID })]
			require.True(t, adoption.StillApplies(m, w, h), "%+v", m)
			if !m.IsCertain() {
				continue
			}
			sharesKey := slices.ContainsFunc(w.LookupKeys,
				func(k string) bool { return slices.Contains(h.LookupKeys, k) })
			require.True(t, w.ID == h.ID || h.Value != "" && (h.Value == w.ID || h.Value == w.Value) || sharesKey,
				"%+v", m)
			for _, other := range wanted {
				if other.ID == w.ID {
					continue
				}
				require.NotEqual(t, h.ID, other.ID, "the id is another's")
				if m.Why == adoption.ByMetadata &&
					!slices.ContainsFunc(held, func(h adoption.Existing) bool { return h.ID == other.ID }) {
					require.False(t, h.Value == other.ID || h.Value == other.Value, "the value is another's: %+v %+v",
						m, other)
				}
			}
		}
	})
}

func TestMatches(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		wanted []adoption.Wanted
		held   []adoption.Existing
		want   string
	}{
		"nothing in common": {
			[]adoption.Wanted{{ID: "mug", Name: "Mug"}},
			[]adoption.Existing{{ID: "prod_1", Name: "Cup"}},
			"",
		},
		"id": {
			[]adoption.Wanted{{ID: "mug", Name: "Mug"}},
			[]adoption.Existing{{ID: "mug", Name: "Cup"}},
			"mug=mug by id",
		},
		"metadata names it": {
			[]adoption.Wanted{{ID: "mug"}},
			[]adoption.Existing{{ID: "prod_1", Value: "mug"}},
			"mug=prod_1 by metadata",
		},
		"metadata is the same": {
			[]adoption.Wanted{{ID: "mug", Value: "SKU1"}},
			[]adoption.Existing{{ID: "prod_1", Value: "SKU1"}},
			"mug=prod_1 by metadata",
		},
		"lookup key": {
			[]adoption.Wanted{{ID: "mug", LookupKeys: []string{"m"}}},
			[]adoption.Existing{{ID: "prod_1", LookupKeys: []string{"x", "m"}}},
			"mug=prod_1 by lookup_key",
		},
		"name": {
			[]adoption.Wanted{{ID: "mug", Name: "Café  Mug"}},
			[]adoption.Existing{{ID: "prod_1", Name: "CAFE\u0301 mug!"}},
			"mug=prod_1 by name, doubtful",
		},
		"empty names": {[]adoption.Wanted{{ID: "mug"}}, []adoption.Existing{{ID: "prod_1"}}, ""},
		"a name twice": {
			[]adoption.Wanted{{ID: "mug", Name: "Mug"}},
			[]adoption.Existing{{ID: "prod_1", Name: "Mug"}, {ID: "prod_2", Name: "Mug"}},
			"mug one of [prod_1 prod_2] by name, doubtful",
		},
		"a name twice in the catalog": {
			[]adoption.Wanted{{ID: "mug", Name: "Mug"}, {ID: "mug2", Name: "Mug"}},
			[]adoption.Existing{{ID: "prod_1", Name: "Mug"}},
			"mug=prod_1 by name, rivals [mug2], doubtful; mug2=prod_1 by name, rivals [mug], doubtful",
		},
		"metadata against a name": {
			[]adoption.Wanted{{ID: "mug", Name: "Cup"}, {ID: "cup", Name: "Mug"}},
			[]adoption.Existing{{ID: "prod_1", Name: "Mug", Value: "mug"}},
			"mug=prod_1 by metadata",
		},
		"metadata against a lookup key": {
			[]adoption.Wanted{{ID: "mug", LookupKeys: []string{"m"}}},
			[]adoption.Existing{{ID: "prod_1", Value: "mug"}, {ID: "prod_2", LookupKeys: []string{"m"}}},
			"mug=prod_1 by metadata, contrary prod_2, doubtful",
		},
		"lookup keys of two": {
			[]adoption.Wanted{{ID: "mug", LookupKeys: []string{"m", "n"}}},
			[]adoption.Existing{{ID: "prod_1", LookupKeys: []string{"m"}}, {ID: "prod_2", LookupKeys: []string{"n"}}},
			"mug one of [prod_1 prod_2] by lookup_key, doubtful",
		},
		"lookup key against ambiguous metadata": {
			[]adoption.Wanted{{ID: "cup", LookupKeys: []string{"c"}}, {ID: "mug", Value: "SKU1"}},
			[]adoption.Existing{
				{ID: "prod_1", Value: "SKU1", LookupKeys: []string{"c"}},
				{ID: "prod_2", Value: "SKU1"},
			},
			"cup=prod_1 by lookup_key, rivals [mug], doubtful; mug one of [prod_1 prod_2] by metadata, doubtful",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := ""
			for i, m := range adoption.Matches(c.wanted, c.held) {
				if i > 0 {
					got += "; "
				}
				if m.StripeID != "" {
					got += m.Product + "=" + m.StripeID
				} else {
					got += fmt.Sprintf("%s one of %v", m.Product, m.Candidates)
				}
				got += " by " + string(m.Why)
				if len(m.Rivals) > 0 {
					got += fmt.Sprintf(", rivals %v", m.Rivals)
				}
				if m.Conflicting != "" {
					got += ", contrary " + m.Conflicting
				}
				if !m.IsCertain() {
					got += ", doubtful"
				}
			}
			require.Equal(t, c.want, got)
		})
	}
}

func euros(id, amount string) *catalogv1.Price {
	return &catalogv1.Price{Id: id, Currency: "eur", UnitAmount: amount}
}

func TestPropose(t *testing.T) {
	t.Parallel()
	held := func(stripeID, lookupKey string, p *catalogv1.Price) *catalogv1.ObservedPrice {
		p = catalog.CanonicalPrice(p)
		p.LookupKey = lookupKey
		return &catalogv1.ObservedPrice{StripeId: stripeID, Price: p}
	}
	archived := held("price_9", "", euros("", "1400"))
	archived.Price.Active = new(false)
	for name, c := range map[string]struct {
		why     adoption.Why
		prices  []*catalogv1.Price
		held    []*catalogv1.ObservedPrice
		product *catalogv1.Product
		pairs   map[string]string
		create  []string
		replace []string
		doubts  []string
	}{
		"by structure": {
			prices: []*catalogv1.Price{euros("one", "1400"), euros("two", "900")},
			held: []*catalogv1.ObservedPrice{
				held("price_1", "", euros("", "900")),
				held("price_2", "", euros("", "1400")),
			},
			pairs: map[string]string{"one": "price_2", "two": "price_1"},
		},
		"by lookup key": {
			prices: []*catalogv1.Price{euros("one", "1400")},
			held: []*catalogv1.ObservedPrice{
				held("price_1", "one", euros("", "1400")),
				held("price_2", "", euros("", "1400")),
			},
			pairs: map[string]string{"one": "price_1"},
		},
		"the lookup key's price differs": {
			prices: []*catalogv1.Price{euros("one", "1400")},
			held:   []*catalogv1.ObservedPrice{held("price_1", "one", euros("", "1500"))},
			pairs:  map[string]string{"one": "price_1"}, replace: []string{"one"},
			doubts: []string{"price_differs one"},
		},
		"two are alike": {
			prices: []*catalogv1.Price{euros("one", "1400")},
			held: []*catalogv1.ObservedPrice{
				held("price_1", "", euros("", "1400")),
				held("price_2", "", euros("", "1400")),
			},
			create: []string{"one"}, doubts: []string{"price_unmatched one"},
		},
		"two are alike, one is the default": {
			prices: []*catalogv1.Price{euros("default", "1400")},
			held: []*catalogv1.ObservedPrice{
				held("price_1", "", euros("", "1400")),
				held("price_2", "", euros("", "1400")),
			},
			product: &catalogv1.Product{DefaultPrice: "price_2"}, pairs: map[string]string{"default": "price_2"},
		},
		"two want the same": {
			prices: []*catalogv1.Price{euros("one", "1400"), euros("two", "1400")},
			held:   []*catalogv1.ObservedPrice{held("price_1", "", euros("", "1400"))},
			create: []string{"one", "two"}, doubts: []string{"price_unmatched one", "price_unmatched two"},
		},
		"none in Stripe": {prices: []*catalogv1.Price{euros("one", "1400")}, create: []string{"one"}},
		"archived ones": {
			prices: []*catalogv1.Price{euros("one", "1400")},
			held:   []*catalogv1.ObservedPrice{archived},
			create: []string{"one"},
		},
		"marked already": {
			prices: []*catalogv1.Price{euros("one", "1400")},
			held:   []*catalogv1.ObservedPrice{held("price_1", "", euros("one", "1400"))},
		},
		"only the name": {why: adoption.ByName, doubts: []string{"name_only"}},
		"archived":      {product: &catalogv1.Product{Active: new(false)}, doubts: []string{"archived"}},
		"another's mark": {
			product: &catalogv1.Product{Metadata: map[string]string{catalog.ProductMarker: "cup"}},
			doubts:  []string{"marked"},
		},
		"the right mark": {product: &catalogv1.Product{Metadata: map[string]string{catalog.ProductMarker: "mug"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			product := c.product
			if product == nil {
				product = &catalogv1.Product{}
			}
			why := c.why
			if why == "" {
				why = adoption.ByMetadata
			}
			change := &catalogv1.ProductChange{
				ProductId: "mug",
				Product:   &catalogv1.Product{Id: "mug", Name: "Mug", DefaultPrice: "default", Prices: c.prices},
			}
			p := adoption.Propose(adoption.Match{Product: "mug", StripeID: "prod_1", Why: why}, change,
				&catalogv1.Observed{
					ProductId: "prod_1", Product: catalog.Canonical(product), Prices: c.held,
				})
			if c.pairs == nil {
				c.pairs = map[string]string{}
			}
			require.Equal(t, c.pairs, p.Prices)
			require.Equal(t, c.create, p.Create)
			require.Equal(t, c.replace, p.Replace)
			require.Equal(t, c.doubts, p.Doubts())
			require.Equal(t, len(c.doubts) == 0, p.IsCertain())
		})
	}
}
