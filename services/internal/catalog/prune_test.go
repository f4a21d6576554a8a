package catalog_test

import (
	"fmt"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/catalog/catalogtest"
)

// drawLongHistory generates an account in which amounts changed and returned, with all states that the catalog wanted.
// The kept state is updated after each event.
func drawLongHistory(t *rapid.T) (s *catalogtest.Stripe, kept *catalogv1.Observed, wanted []*catalogv1.ProductChange) {
	s, kept = &catalogtest.Stripe{}, &catalogv1.Observed{ProductId: productID}
	wanted = []*catalogv1.ProductChange{catalogtest.Change(productID).Draw(t, "first")}
	for range rapid.IntRange(1, 14).Draw(t, "past") {
		switch rapid.IntRange(0, 4).Draw(t, "who") {
		case 0:
			catalogtest.Dashboard(t, s, productID)
		case 4:
			params := []catalog.Param{
				{Name: "product", Value: productID},
				{Name: "currency", Value: "usd"},
				{Name: "unit_amount", Value: "1000"},
			}
			if id := rapid.SampledFrom([]string{"", "a", "monthly"}).Draw(t, "copied mark"); id != "" {
				params = append(params, catalog.Param{Name: "metadata[" + catalog.PriceMarker + "]", Value: id})
			}
			_, _ = s.Call(catalog.CreatePrice, "", params...)
		case 1:
			id := rapid.SampledFrom(append(s.PriceIDs(productID), "price_none")).Draw(t, "archived")
			_, _ = s.Call(catalog.UpdatePrice, id, catalog.Param{Name: "active", Value: "false"})
		case 2:
			wanted = append(wanted, catalogtest.Edit(t, wanted[len(wanted)-1]))
			apply(t, s, wanted[len(wanted)-1])
		default:
			apply(t, s, rapid.SampledFrom(wanted).Draw(t, "again"))
		}
		product, prices := s.Whole(productID)
		catalog.ObserveAll(kept, product, rapid.Permutation(prices).Draw(t, "listed"))
	}
	return s, kept, wanted
}

// stripeIDs returns Stripe's ids of the recorded prices.
func stripeIDs(o *catalogv1.Observed) (ids []string) {
	for _, p := range o.GetPrices() {
		ids = append(ids, p.GetStripeId())
	}
	return ids
}

func TestPrune_PreservesDiff(t *testing.T) {
	t.Parallel()
	dropped := 0
	rapid.Check(t, func(t *rapid.T) {
		s, kept, wanted := drawLongHistory(t)
		policy := policy(t)
		for _, change := range append(wanted, catalogtest.Edit(t, wanted[len(wanted)-1]), &catalogv1.ProductChange{
			ProductId: productID, Operation: catalogv1.Operation_OPERATION_DELETE,
		}) {
			full := observedState(s, change)
			reduced := proto.CloneOf(full)
			product, prices := s.Whole(productID)
			catalog.ObserveAll(reduced, product, prices)
			dropped += len(full.GetPrices()) - len(reduced.GetPrices())
			require.Subset(t, stripeIDs(kept), stripeIDs(reduced),
				"the kept prices do not depend on the order of the sightings")
			require.Equal(t, words(catalog.Diff(change, full)), words(catalog.Diff(change, reduced)))
			require.Equal(t, catalog.Compare(change, full), catalog.Compare(change, reduced))
			require.Equal(t, catalog.Outline(change, full), catalog.Outline(change, reduced))
			all, some := catalog.Resolve(policy, change, full, catalog.Exceptions{}),
				catalog.Resolve(policy, change, reduced, catalog.Exceptions{})
			require.Equal(t, all.Decisions, some.Decisions)
			require.Empty(t, gocmp.Diff(all.Effective, some.Effective, protocmp.Transform()))
			require.Empty(t, gocmp.Diff(catalog.Import(full), catalog.Import(reduced), protocmp.Transform()))
		}
	})
	require.NotZero(t, dropped)
}

// listed returns a price as a list shows it. mark is the catalog's id in its metadata, if any.
func listed(n int, active bool, mark, filler string) catalog.PriceSighting {
	p := &catalogv1.Price{
		Id: mark, Active: new(active), Currency: "eur", UnitAmount: fmt.Sprint(1000 + n), BillingScheme: "per_unit",
		Metadata: map[string]string{"filler": filler},
	}
	if mark != "" {
		p.Metadata[catalog.PriceMarker] = mark
	}
	return catalog.PriceSighting{
		Price:    p,
		StripeID: fmt.Sprintf("price_%05d", n),
		Created:  int64(n),
		Seen:     1_700_000_000,
		Fetched:  true,
	}
}

func TestPrune_FitsOneMessage(t *testing.T) {
	t.Parallel()
	filler := strings.Repeat("x", 500)
	for name, price := range map[string]func(n int) catalog.PriceSighting{
		"inline prices of a checkout": func(n int) catalog.PriceSighting { return listed(n, false, "", "") },
		"archived prices of other software's": func(n int) catalog.PriceSighting {
			return listed(n, false, "", filler)
		},
		"active prices of other software's": func(n int) catalog.PriceSighting { return listed(n, true, "", filler) },
		"amounts that the catalog had": func(n int) catalog.PriceSighting {
			return listed(n, false, "mug-eur", filler)
		},
		"prices that left the catalog": func(n int) catalog.PriceSighting {
			return listed(n, false, fmt.Sprint("mug-", n), filler)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const n = 9000
			current := listed(n, true, "mug-eur", "")
			product := catalog.ProductSighting{
				Product: &catalogv1.Product{Id: "mug", Name: "Mug", DefaultPrice: current.StripeID},
				Seen:    1_700_000_000,
			}
			prices := []catalog.PriceSighting{current}
			for i := range n {
				prices = append(prices, price(i))
			}
			whole := &catalogv1.Observed{ProductId: "mug"}
			catalog.ObserveAll(whole, product, prices)
			require.Less(t, proto.Size(whole), 768<<10)
			require.NotNil(t, catalog.FindPrice(whole, current.StripeID))

			oneByOne := &catalogv1.Observed{ProductId: "mug"}
			catalog.ObserveAll(oneByOne, product, prices[:1])
			for i := range 300 {
				s := price((i * 7) % 300)
				catalog.ObservePrice(oneByOne, s)
			}
			catalog.ObserveAll(whole, product, prices[:301])
			require.ElementsMatch(t, stripeIDs(whole), stripeIDs(oneByOne))
			size := proto.Size(oneByOne)
			seen := proto.CloneOf(oneByOne)
			require.False(t, catalog.ObserveAll(seen, product, prices[:301]), "a second read changes nothing")
			require.Less(t, size, 768<<10)
		})
	}
}

func TestObservePrice_IgnoresArchivedPricesOfOthers(t *testing.T) {
	t.Parallel()
	o := &catalogv1.Observed{ProductId: "mug", Product: &catalogv1.Product{Id: "mug"}, ProductSeen: 1, Version: 7}
	event := func(s catalog.PriceSighting, seen int64) catalog.PriceSighting {
		s.Fetched, s.Partial, s.Seen = false, true, seen
		return s
	}
	before := proto.CloneOf(o)
	require.Equal(t, catalog.Unchanged, catalog.ObservePrice(o, event(listed(1, false, "", ""), 100)))
	require.Empty(t, gocmp.Diff(before, o, protocmp.Transform()), "nothing must be written")
	require.Equal(t, catalog.Applied, catalog.ObservePrice(o, event(listed(2, true, "", ""), 100)),
		"no read is needed for prices that Diff leaves alone")
	require.False(t, o.GetWhole())
	require.Equal(t, catalog.Applied, catalog.ObservePrice(o, event(listed(2, false, "", ""), 100)),
		"in the same second")
	require.Empty(t, o.GetPrices())
	require.Equal(t, catalog.Unordered, catalog.ObservePrice(o, event(listed(3, true, "mug-eur", ""), 100)),
		"a price with the mark may have been deleted since")
	require.Equal(t, catalog.Unordered, catalog.ObservePrice(o, event(listed(3, false, "mug-eur", ""), 100)))

	unknown := &catalogv1.Observed{ProductId: "stray", Product: &catalogv1.Product{Id: "stray"}, ProductSeen: 1}
	require.Equal(t, catalog.Unordered, catalog.ObservePrice(unknown, event(listed(4, true, "", ""), 100)),
		"it may be adopted, by its amounts in other currencies too")
	require.Equal(t, catalog.Unchanged, catalog.ObservePrice(unknown, event(listed(4, false, "", ""), 100)))
}

func TestObservePrice_DisownsCopiedMark(t *testing.T) {
	t.Parallel()
	desired := &catalogv1.ProductChange{ProductId: "mug", Version: 7, Product: &catalogv1.Product{
		Id: "mug", Name: "Mug", DefaultPrice: "mug-eur",
		Prices: []*catalogv1.Price{{Id: "mug-eur", Currency: "eur", UnitAmount: "1001"}},
	}}
	original := listed(1, true, "mug-eur", "")
	original.Price.LookupKey = "mug-eur"
	inStripe := func() *catalogv1.Observed {
		o := &catalogv1.Observed{ProductId: "mug", Version: 7, Found: true}
		catalog.ObserveAll(o,
			catalog.ProductSighting{
				Product: &catalogv1.Product{Id: "mug", Name: "Mug", DefaultPrice: original.StripeID},
				Seen:    1_700_000_000,
			},
			[]catalog.PriceSighting{original})
		return o
	}
	copied := listed(2, true, "mug-eur", "")
	copied.Copied, copied.Fetched, copied.Partial = true, false, true
	for name, sightings := range map[string][]catalog.PriceSighting{
		"the event comes first": {copied, listed(2, true, "mug-eur", "")},
		"a list comes first":    {listed(2, true, "mug-eur", ""), copied, listed(2, true, "mug-eur", "")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := inStripe()
			for _, s := range sightings {
				catalog.ObservePrice(o, s)
			}
			require.Len(t, o.GetPrices(), 2)
			require.Equal(t, "mug-eur", catalog.FindPrice(o, copied.StripeID).GetCopiedMark())
			archived := func() bool { return strings.Contains(words(catalog.Diff(desired, o)), "archive price") }
			require.False(t, archived(), "it is somebody else's")
			o.Found = false
			fresh := &catalogv1.Observed{ProductId: "mug", Version: 7}
			catalog.ObserveAll(fresh, catalog.ProductSighting{Product: o.GetProduct(), Seen: 1_700_000_000},
				[]catalog.PriceSighting{original})
			list := copied
			list.Fetched = true
			catalog.ObservePrice(fresh, list)
			require.Contains(t, words(catalog.Diff(desired, fresh)), "archive price",
				"on a product of the catalog's it is one too many")
			repaired := listed(2, true, "mug-usd", "")
			repaired.Seen++
			require.Equal(t, catalog.Applied, catalog.ObservePrice(o, repaired))
			require.True(t, archived(), "another mark is kept")
		})
	}
}
