package catalog_test

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
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

// sighting is one observation of the product or of one of its prices.
type sighting struct {
	product *catalog.ProductSighting
	price   *catalog.PriceSighting
}

func (s sighting) observe(o *catalogv1.Observed) catalog.Result {
	if s.product != nil {
		return catalog.ObserveProduct(o, *s.product)
	}
	return catalog.ObservePrice(o, *s.price)
}

// history generates the life of a product and its events in order. Stripe's clock advances only sometimes, so that many
// events share a second.
func history(t *rapid.T) (*catalogtest.Stripe, []sighting) {
	s := &catalogtest.Stripe{}
	var events []sighting
	second := int64(1_700_000_000)
	change := catalogtest.Change(productID).Draw(t, "first")
	for range rapid.IntRange(1, 8).Draw(t, "events") {
		second += oneIn3(t)
		before, priceIDs := s.Product(productID), s.PriceIDs(productID)
		was := map[string]catalog.PriceSighting{}
		for _, id := range priceIDs {
			was[id] = s.Price(id)
		}
		if rapid.Bool().Draw(t, "catalog") {
			apply(t, s, change)
			change = catalogtest.Edit(t, change)
		} else {
			catalogtest.Dashboard(t, s, productID)
		}
		priceIDs = append(priceIDs, s.PriceIDs(productID)...)
		slices.Sort(priceIDs)
		for _, id := range slices.Compact(priceIDs) {
			is := s.Price(id)
			if proto.Equal(was[id].Price, is.Price) {
				continue
			}
			is.Seen, is.Fetched, is.Partial = second, false, true
			if is.Price != nil {
				is.Price.Tiers, is.Price.CurrencyOptions = nil, nil
			}
			events = append(events, sighting{price: &is})
		}
		if is := s.Product(productID); !proto.Equal(before.Product, is.Product) {
			is.Seen, is.Fetched, is.Updated = second, false, second
			if is.Product == nil {
				is.Updated = 0
			}
			events = append(events, sighting{product: &is})
		}
	}
	return s, events
}

func oneIn3(t *rapid.T) int64 {
	if rapid.IntRange(0, 2).Draw(t, "a second passes") == 0 {
		return 1
	}
	return 0
}

func TestObserve_AnyOrderAndFetchEndInTruth(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, events := history(t)
		o := &catalogv1.Observed{ProductId: productID}
		for _, e := range shuffledEvents(t, events) {
			e.observe(o)
		}
		product, prices := s.Whole(productID)
		prices = rapid.Permutation(prices).Draw(t, "prices as listed")
		catalog.ObserveAll(o, product, prices)
		require.Empty(t, gocmp.Diff(trueState(s), recorded(o), protocmp.Transform()))

		seen := proto.CloneOf(o)
		require.False(t, catalog.ObserveAll(o, product, prices), "a second read of the same state changed something")
		require.Empty(t, gocmp.Diff(recorded(seen), recorded(o), protocmp.Transform()))
	})
}

// shuffledEvents returns the events out of order, some missing and some twice.
func shuffledEvents(t *rapid.T, events []sighting) []sighting {
	var out []sighting
	for _, e := range events {
		for range rapid.IntRange(0, 2).Draw(t, "times") {
			out = append(out, e)
		}
	}
	return rapid.Permutation(out).Draw(t, "order of arrival")
}

// trueState is the right observed state.
func trueState(s *catalogtest.Stripe) *catalogv1.Observed {
	o := &catalogv1.Observed{ProductId: productID}
	product, prices := s.Whole(productID)
	catalog.ObserveAll(o, product, prices)
	return recorded(o)
}

// recorded returns the recorded objects without the times at which they were seen.
func recorded(o *catalogv1.Observed) *catalogv1.Observed {
	out := &catalogv1.Observed{ProductId: o.GetProductId(), Product: catalog.Canonical(o.GetProduct())}
	for _, p := range o.GetPrices() {
		out.Prices = append(out.Prices, &catalogv1.ObservedPrice{
			StripeId: p.GetStripeId(),
			Price:    catalog.CanonicalPrice(p.GetPrice()),
			Created:  p.GetCreated(),
		})
	}
	slices.SortFunc(out.GetPrices(),
		func(a, b *catalogv1.ObservedPrice) int { return cmp.Compare(a.GetStripeId(), b.GetStripeId()) })
	return out
}

func TestObserve_UnorderedModifiesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		_, events := history(t)
		o := &catalogv1.Observed{ProductId: productID}
		for _, e := range shuffledEvents(t, events) {
			before := proto.CloneOf(o)
			switch e.observe(o) {
			case catalog.Unordered:
				require.Empty(t, gocmp.Diff(before, o, protocmp.Transform()))
			case catalog.Unchanged:
				require.Empty(t, gocmp.Diff(recorded(before), recorded(o), protocmp.Transform()))
			case catalog.Applied:
				require.NotEmpty(t, gocmp.Diff(before, o, protocmp.Transform()))
			}
		}
	})
}

// A consumer that fetches every unordered object, as pull does, never goes back behind the latest event that has
// arrived.
func TestObserve_OlderNeverOverwritesNewer(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		_, events := history(t)
		latest := map[string]int{}
		position := map[string]int{}
		for i, e := range events {
			position[e.words()] = i
		}
		o := &catalogv1.Observed{ProductId: productID}
		for _, e := range shuffledEvents(t, events) {
			result := e.observe(o)
			if result == catalog.Applied {
				require.GreaterOrEqual(t, position[e.words()], latest[e.object()],
					"an older state replaced a later one")
			}
			latest[e.object()] = max(latest[e.object()], position[e.words()])
			if result == catalog.Unordered {
				fetched := events[latest[e.object()]]
				require.NotEqual(t, catalog.Unordered, fetched.asAnswer().observe(o))
			}
		}
	})
}

// asAnswer returns the same state as the answer to a request.
func (s sighting) asAnswer() sighting {
	if s.product != nil {
		p := *s.product
		p.Fetched = true
		return sighting{product: &p}
	}
	p := *s.price
	p.Fetched = true
	return sighting{price: &p}
}

func (s sighting) object() string {
	if s.product != nil {
		return "product"
	}
	return s.price.StripeID
}

func (s sighting) words() string {
	if s.product != nil {
		return fmt.Sprintf("product %d %s", s.product.Seen, deterministic(s.product.Product))
	}
	return fmt.Sprintf("%s %d %s", s.price.StripeID, s.price.Seen, deterministic(s.price.Price))
}

// The answers to push's own calls give the right observed state, without a read.
func TestObserve_AnswersEqualStripe(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, change := draw(t)
		o := recorded(s.Observed(productID))
		before := observedState(s, change)
		if len(catalog.Diff(change, before)) > 0 && movesForeignKeys(catalog.Diff(change, before)) {
			return // push itself records that a lookup key leaves another price
		}
		apply(t, s, change)
		catalog.ObserveProduct(o, s.Product(productID))
		for _, id := range s.PriceIDs(productID) {
			catalog.ObservePrice(o, s.Price(id))
		}
		require.Empty(t, gocmp.Diff(trueState(s), recorded(o), protocmp.Transform()))
	})
}

func movesForeignKeys(steps []catalog.Step) bool {
	return slices.ContainsFunc(steps, func(s catalog.Step) bool {
		_, ok := s.Param("lookup_key")
		return ok && s.Kind == catalog.UpdatePrice
	})
}

func TestObserveProduct_Results(t *testing.T) {
	t.Parallel()
	named := func(name string) *catalogv1.Product { return &catalogv1.Product{Id: "pro", Name: name} }
	known := func() *catalogv1.Observed {
		o := &catalogv1.Observed{}
		require.Equal(t, catalog.Applied,
			catalog.ObserveProduct(o, catalog.ProductSighting{
				Product: named("known"),
				Updated: 90,
				Seen:    100,
				Fetched: true,
			}))
		return o
	}
	gone := func() *catalogv1.Observed {
		o := known()
		require.Equal(t, catalog.Applied, catalog.ObserveProduct(o, catalog.ProductSighting{Seen: 110, Fetched: true}))
		return o
	}
	nothing := func() *catalogv1.Observed { return &catalogv1.Observed{} }
	for name, c := range map[string]struct {
		known    func() *catalogv1.Observed
		sighting catalog.ProductSighting
		want     catalog.Result
		product  string
		deleted  bool
	}{
		"the first event is applied": {
			nothing,
			catalog.ProductSighting{Product: named("new"), Updated: 1, Seen: 1},
			catalog.Applied, "new", false,
		},
		"the same event again changes nothing": {
			known,
			catalog.ProductSighting{Product: named("known"), Updated: 95, Seen: 120},
			catalog.Unchanged, "known",
			false,
		},
		"an event of a later second is newer": {
			known,
			catalog.ProductSighting{Product: named("new"), Updated: 101, Seen: 101},
			catalog.Applied, "new", false,
		},
		"an event of the same second is not newer": {
			known,
			catalog.ProductSighting{Product: named("new"), Updated: 100, Seen: 100},
			catalog.Unordered, "known", false,
		},
		"an event of an earlier second is not newer": {
			known,
			catalog.ProductSighting{Product: named("old"), Updated: 80, Seen: 80},
			catalog.Unordered, "known", false,
		},
		"a late event of an old update is not newer": {
			known,
			catalog.ProductSighting{Product: named("old"), Updated: 90, Seen: 101},
			catalog.Unordered, "known", false,
		},
		"an answer is applied": {
			known,
			catalog.ProductSighting{Product: named("new"), Updated: 90, Seen: 100, Fetched: true},
			catalog.Applied,
			"new", false,
		},
		"a later deletion": {
			known,
			catalog.ProductSighting{Seen: 101},
			catalog.Applied, "",
			true,
		},
		"a deletion in the same second": {
			known,
			catalog.ProductSighting{Seen: 100},
			catalog.Unordered,
			"known", false,
		},
		"an event from before a scan may be older": {
			known,
			catalog.ProductSighting{Product: named("old"), Updated: 101, Seen: 101, Old: true},
			catalog.Unordered, "known", false,
		},
		"a deletion from before a scan may be older": {
			known,
			catalog.ProductSighting{Seen: 101, Old: true},
			catalog.Unordered, "known", false,
		},
		"an equal event from before a scan": {
			known,
			catalog.ProductSighting{Product: named("known"), Updated: 101, Seen: 101, Old: true},
			catalog.Unchanged, "known", false,
		},
		"a deletion of an unknown product": {
			nothing,
			catalog.ProductSighting{Seen: 100},
			catalog.Applied, "",
			true,
		},
		"an answer without a product": {
			nothing,
			catalog.ProductSighting{Seen: 100, Fetched: true},
			catalog.Applied, "", false,
		},
		"an answer that it was deleted": {
			known,
			catalog.ProductSighting{Seen: 100, Fetched: true},
			catalog.Applied, "", true,
		},
		"a late event after the deletion": {
			gone,
			catalog.ProductSighting{Product: named("old"), Updated: 95, Seen: 105},
			catalog.Unordered, "", true,
		},
		"a deleted product is created again": {
			gone,
			catalog.ProductSighting{Product: named("new"), Updated: 111, Seen: 111},
			catalog.Applied, "new", false,
		},
		"a deleted product stays deleted": {
			gone,
			catalog.ProductSighting{Seen: 120},
			catalog.Unchanged, "",
			true,
		},
		"an answer of a server with a slow clock": {
			known,
			catalog.ProductSighting{Product: named("new"), Updated: 99, Seen: 99, Fetched: true},
			catalog.Applied,
			"new", false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := c.known()
			seen := o.GetProductSeen()
			require.Equal(t, c.want, catalog.ObserveProduct(o, c.sighting))
			require.Equal(t, c.product, o.GetProduct().GetName())
			require.Equal(t, c.deleted, o.GetDeleted())
			require.GreaterOrEqual(t, o.GetProductSeen(), seen)
		})
	}
}

func TestObserveProduct_DropsPricesOfDeletedProduct(t *testing.T) {
	t.Parallel()
	o := &catalogv1.Observed{
		Product:         &catalogv1.Product{Id: "pro"},
		ProductSeen:     1,
		ManagedMetadata: []string{"colour"},
		Prices:          []*catalogv1.ObservedPrice{{StripeId: "price_1"}},
	}
	require.Equal(t, catalog.Applied, catalog.ObserveProduct(o, catalog.ProductSighting{Seen: 2}))
	require.Empty(t, o.GetPrices())
	require.Empty(t, o.GetManagedMetadata())

	t.Run("also prices recorded before the product", func(t *testing.T) {
		t.Parallel()
		o := &catalogv1.Observed{Prices: []*catalogv1.ObservedPrice{{StripeId: "price_1"}}, ProductSeen: 1}
		require.True(t, catalog.ObserveAll(o, catalog.ProductSighting{Seen: 2}, nil))
		require.Empty(t, o.GetPrices())
	})
}

func TestObservePrice_Results(t *testing.T) {
	t.Parallel()
	price := func(nickname string) *catalogv1.Price {
		return &catalogv1.Price{
			Id:         "monthly",
			Currency:   "usd",
			UnitAmount: "1000",
			Nickname:   nickname,
			Metadata:   map[string]string{catalog.PriceMarker: "monthly"},
		}
	}
	full := price("known")
	full.CurrencyOptions = map[string]*catalogv1.CurrencyOption{"eur": {UnitAmount: "900"}}
	known := func() *catalogv1.Observed {
		o := &catalogv1.Observed{}
		require.Equal(t, catalog.Applied,
			catalog.ObservePrice(o, catalog.PriceSighting{
				Price:    full,
				StripeID: "price_1",
				Created:  50,
				Seen:     100,
				Fetched:  true,
			}))
		return o
	}
	nothing := func() *catalogv1.Observed { return &catalogv1.Observed{} }
	for name, c := range map[string]struct {
		known    func() *catalogv1.Observed
		sighting catalog.PriceSighting
		want     catalog.Result
		nickname []string
	}{
		"an event of an unknown price may be older than its deletion": {
			nothing,
			catalog.PriceSighting{Price: price("new"), Seen: 120, Partial: true},
			catalog.Unordered, nil,
		},
		"an answer of an unknown price": {
			nothing,
			catalog.PriceSighting{Price: price("new"), Seen: 120, Fetched: true},
			catalog.Applied,
			[]string{"new"},
		},
		"the deletion of an unknown price": {
			nothing,
			catalog.PriceSighting{Seen: 120},
			catalog.Unchanged, nil,
		},
		"the same event again": {
			known,
			catalog.PriceSighting{Price: price("known"), Seen: 120, Partial: true},
			catalog.Unchanged,
			[]string{"known"},
		},
		"an event of a later second": {
			known,
			catalog.PriceSighting{Price: price("new"), Seen: 101, Partial: true},
			catalog.Applied,
			[]string{"new"},
		},
		"an event of the same second": {
			known,
			catalog.PriceSighting{Price: price("new"), Seen: 100, Partial: true},
			catalog.Unordered,
			[]string{"known"},
		},
		"an event of an earlier second": {
			known,
			catalog.PriceSighting{Price: price("old"), Seen: 99, Partial: true},
			catalog.Unordered,
			[]string{"known"},
		},
		"an event from before a scan may be older": {
			known,
			catalog.PriceSighting{Price: price("old"), Seen: 101, Partial: true, Old: true},
			catalog.Unordered,
			[]string{"known"},
		},
		"an answer is applied": {
			known,
			catalog.PriceSighting{Price: price("new"), Seen: 99, Fetched: true},
			catalog.Applied,
			[]string{"new"},
		},
		"a later deletion": {
			known,
			catalog.PriceSighting{Seen: 101},
			catalog.Applied, nil,
		},
		"a deletion in the same second": {
			known,
			catalog.PriceSighting{Seen: 100},
			catalog.Unordered,
			[]string{"known"},
		},
		"an answer that it was deleted": {
			known,
			catalog.PriceSighting{Seen: 90, Fetched: true},
			catalog.Applied, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := c.known()
			c.sighting.StripeID = "price_1"
			require.Equal(t, c.want, catalog.ObservePrice(o, c.sighting))
			var nicknames []string
			for _, p := range o.GetPrices() {
				nicknames = append(nicknames, p.GetPrice().GetNickname())
				require.GreaterOrEqual(t, p.GetSeen(), int64(100))
				if c.sighting.Partial {
					require.Contains(t, p.GetPrice().GetCurrencyOptions(), "eur", "fields missing in the event stay")
				}
			}
			require.Equal(t, c.nickname, nicknames)
		})
	}
	t.Run("the mark is managed without a record", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, []string{catalog.PriceMarker}, known().GetPrices()[0].GetManagedMetadata())
	})
}

func TestRememberEvent_KeepsRecentEvents(t *testing.T) {
	t.Parallel()
	o := &catalogv1.Observed{}
	for i := range 100 {
		catalog.RememberEvent(o, "evt_"+strconv.Itoa(i))
	}
	require.True(t, catalog.SeenEvent(o, "evt_99"))
	require.False(t, catalog.SeenEvent(o, "evt_0"))
	require.Len(t, o.GetRecentEvents(), 64)
}

func TestRecordIntents(t *testing.T) {
	t.Parallel()
	intent := func(i int, settled bool) *catalogv1.Intent {
		return &catalogv1.Intent{
			IdempotencyKey: "key" + strconv.Itoa(i),
			Settled:        settled,
			Step:           strings.Repeat("x", i%3),
		}
	}
	t.Run("are found by their key", func(t *testing.T) {
		t.Parallel()
		o := &catalogv1.Observed{}
		catalog.RecordIntents(o, intent(1, false), intent(2, false))
		require.Equal(t, "key2", catalog.FindIntent(o, "key2").GetIdempotencyKey())
		require.Nil(t, catalog.FindIntent(o, "key3"))
		require.Nil(t, catalog.FindIntent(&catalogv1.Observed{Intents: []*catalogv1.Intent{{}}}, ""),
			"an event without a key is no echo")
	})
	t.Run("replace intents with the same key", func(t *testing.T) {
		t.Parallel()
		o := &catalogv1.Observed{}
		catalog.RecordIntents(o, intent(1, false), intent(2, false), intent(1, true))
		require.Len(t, o.GetIntents(), 2)
		require.True(t, catalog.FindIntent(o, "key1").GetSettled())
	})
	t.Run("beyond the limit the oldest settled ones are dropped", func(t *testing.T) {
		t.Parallel()
		o := &catalogv1.Observed{}
		catalog.RecordIntents(o, intent(0, false))
		for i := range 100 {
			catalog.RecordIntents(o, intent(i+1, true))
		}
		require.Len(t, o.GetIntents(), 64)
		require.NotNil(t, catalog.FindIntent(o, "key0"), "a call with unknown outcome was dropped")
		require.Nil(t, catalog.FindIntent(o, "key1"))
		require.NotNil(t, catalog.FindIntent(o, "key100"))
	})
	t.Run("of one large plan stay until they are settled", func(t *testing.T) {
		t.Parallel()
		o := &catalogv1.Observed{}
		for i := range 100 {
			catalog.RecordIntents(o, intent(i, false))
		}
		require.Len(t, o.GetIntents(), 100)
	})
}

func TestManageMetadata(t *testing.T) {
	t.Parallel()
	o := func() *catalogv1.Observed {
		return &catalogv1.Observed{
			ManagedMetadata: []string{"old"},
			Prices: []*catalogv1.ObservedPrice{
				{StripeId: "price_1", Price: &catalogv1.Price{Id: "monthly"}},
				{StripeId: "price_2", Price: &catalogv1.Price{}},
			},
		}
	}
	change := func(unmanaged ...string) *catalogv1.ProductChange {
		return &catalogv1.ProductChange{UnmanagedFields: unmanaged, Product: &catalogv1.Product{
			Metadata: map[string]string{"colour": "red"},
			Prices:   []*catalogv1.Price{{Id: "monthly", Metadata: map[string]string{"size": "L"}}},
		}}
	}
	managed := o()
	catalog.ManageMetadata(managed, change())
	require.Equal(t, []string{"colour", "old"}, managed.GetManagedMetadata())
	require.Equal(t, []string{catalog.PriceMarker, "size"}, managed.GetPrices()[0].GetManagedMetadata())
	require.Empty(t, managed.GetPrices()[1].GetManagedMetadata(), "a foreign price")

	left := o()
	catalog.ManageMetadata(left, change("metadata", "prices.metadata"))
	require.Equal(t, []string{"old"}, left.GetManagedMetadata(), "keys that are not written are not managed")
	require.Equal(t, []string{catalog.PriceMarker}, left.GetPrices()[0].GetManagedMetadata())
}
