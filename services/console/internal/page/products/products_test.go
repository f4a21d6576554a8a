package products

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
)

func queryOf(t *testing.T, text string) query {
	t.Helper()
	values, err := url.ParseQuery(text)
	require.NoError(t, err)
	return parse(values)
}

func TestParse_SelectsWhatTheAddressSays(t *testing.T) {
	t.Parallel()
	q := queryOf(t,
		"q=+oak+&state=dead&state=dead&state=orphan&cause=dashboard&no_active_price=1&unknown=x&sort=changed")
	require.True(t, proto.Equal(&controlv1.ProductFilter{
		Search: "oak",
		States: []controlv1.ProductState{
			controlv1.ProductState_PRODUCT_STATE_DEAD,
			controlv1.ProductState_PRODUCT_STATE_ORPHAN,
		},
		Causes:        []string{"dashboard"},
		NoActivePrice: true,
	}, q.filter()))
	require.True(t, q.order().descending)
	require.False(t, q.isEmpty())
	require.True(t, queryOf(t, "sort=name&cursor=abc").isEmpty())
	require.False(t, queryOf(t, "state=nonsense").isEmpty(), "an unknown state must not select everything")
}

func TestToggle_ChangesOneValueAndReturnsToTheFirstPage(t *testing.T) {
	t.Parallel()
	q := queryOf(t, "state=dead&q=mug&cursor=abc")
	require.Equal(t, "/products?q=mug&state=dead&state=held", q.toggle(paramState, "held").path())
	require.Equal(t, "/products?q=mug", q.toggle(paramState, "dead").path())
	require.Equal(t, "/products?cursor=abc&q=mug&state=dead", q.path(), "the query itself is not changed")
	require.Equal(t, "/products?cursor=n&q=mug&state=dead", q.with(paramCursor, "n").path())
}

func TestCommand_ListsTheSameProducts(t *testing.T) {
	t.Parallel()
	require.Equal(t, "driftless products --kind 'catalog,extra,left'", queryOf(t, "").command())
	require.Equal(t, "driftless products --state 'dead,extra' --kind left",
		queryOf(t, "state=dead&state=orphan&kind=left").command())
	require.Equal(t, "driftless products --kind 'catalog,extra,left' --words 'oak ch' --no-active-price --sort changed --descending",
		queryOf(t, "q=oak+ch&no_active_price=true&sort=changed").command())
	require.Equal(t, "driftless products --drift-kind field --cause 'dashboard,api_key' --dead-reason exhausted --rule check",
		queryOf(t, "cause=dashboard&cause=api_key&drift=field&dead=exhausted&rule=check").command())
}

func TestSavedViews_AreAddressesOfThePage(t *testing.T) {
	t.Parallel()
	for _, v := range savedViews {
		require.True(t, v.isCurrent(parse(valuesOf(v.path))), v.name)
		for _, state := range parse(valuesOf(v.path)).filter().GetStates() {
			require.NotZero(t, state, v.name)
		}
	}
	require.False(t, savedViews[1].isCurrent(queryOf(t, "")))
}

func TestFacets_KeepsAChosenValueThatNoProductHas(t *testing.T) {
	t.Parallel()
	all := facets(queryOf(t, "state=dead&cause=dashboard"), &controlv1.CountProductsResponse{Facets: []*controlv1.Facet{
		{Name: "state", Values: []*controlv1.FacetValue{
			{Value: "in_sync", Count: 39981}, {Value: "dead", Count: 7, IsMinimum: true},
		}},
		{Name: "cause"},
		{Name: "rule"},
		{Name: "of a later version", Values: []*controlv1.FacetValue{{Value: "x", Count: 1}}},
	}}, true)
	require.Equal(t, []facet{
		{"State", []option{
			{"equal", "39,981", "/products?cause=dashboard&state=dead&state=in_sync", false},
			{"refused", "7+", "/products?cause=dashboard", true},
		}},
		{"Changed by", []option{{"Stripe's dashboard", "0", "/products?state=dead", true}}},
	}, all)
	require.Empty(t, facets(queryOf(t, ""), nil, true))
}

func TestAtLeast_RoundsDown(t *testing.T) {
	t.Parallel()
	require.Equal(t, "13,000+", atLeast(13797, true))
	require.Equal(t, "13,797", atLeast(13797, false))
	require.Equal(t, "999+", atLeast(999, true))
}

func TestReasons_SayWhyAProductIsNotEqual(t *testing.T) {
	t.Parallel()
	require.Equal(t,
		[]string{
			"refused by Stripe", "rule amount_change", "archived in Stripe", "by Stripe's dashboard",
			"no active price",
		},
		reasons(&controlv1.ProductRow{
			DeadReasons: []string{"refused_by_stripe"}, Rules: []string{"amount_change"},
			DriftKinds: []string{"archived_in_stripe"}, Causes: []string{"dashboard", "unknown"}, NoActivePrice: true,
		}))
}

func TestTally_SaysWhatWasNotDone(t *testing.T) {
	t.Parallel()
	require.Equal(t, "Sync: 1 product.", (&tally{products: 1}).text("Sync"))
	require.Equal(t, "Ignore: 2 products. Not done for 4 products: a; b; c; …",
		(&tally{products: 2, failures: []string{"a", "b", "c", "d"}}).text("Ignore"))
}

func TestResultCommand_NamesTheProducts(t *testing.T) {
	t.Parallel()
	byName := map[string]action{}
	for _, a := range actions {
		byName[a.name] = a
	}
	require.Equal(t, "driftless approve a 'b c' --reason 'Go on'",
		byName["approve"].resultCommand([]string{"a", "b c"}, "Go on"))
	require.Equal(t, "driftless drift resolve a --keep stripe", byName["keep-stripe"].resultCommand([]string{"a"}, ""))
	require.Empty(t, byName["keep-stripe"].resultCommand([]string{"a", "b"}, ""), "the command takes one product")
	require.Equal(t, "driftless sync PRODUCT", buttons()[0].Command)
}

// The end of a list is not an empty catalog.
func TestEmptyText_SaysOnlyWhatWasLookedAt(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]string{
		"":            "No products yet",
		"cursor=abc":  "No more products",
		"q=oak":       "Nothing found",
		"state=dead":  "Nothing matches",
		"sort=-stale": "No products yet",
	} {
		title, _ := list{query: queryOf(t, query), equality: &controlv1.Equality{AsOf: timestamppb.Now()}}.emptyText()
		require.Equal(t, want, title, query)
	}
	title, _ := list{query: queryOf(t, "")}.emptyText()
	require.Equal(t, "No product is known", title)
}

// A product that was equal when the ledger last heard of it may differ by now.
func TestStateOf_SaysEqualOnlyIfItIsKnown(t *testing.T) {
	t.Parallel()
	name, tone := stateOf(controlv1.ProductState_PRODUCT_STATE_IN_SYNC, true)
	require.Equal(t, []string{"equal", "good"}, []string{name, tone})
	name, tone = stateOf(controlv1.ProductState_PRODUCT_STATE_IN_SYNC, false)
	require.Equal(t, []string{"was equal", ""}, []string{name, tone})
	name, tone = stateOf(controlv1.ProductState_PRODUCT_STATE_DEAD, false)
	require.Equal(t, []string{"refused", "bad"}, []string{name, tone})
}
