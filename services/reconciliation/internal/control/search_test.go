package control_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/controltest"
)

func searchIDs(resp *controlv1.SearchProductsResponse) []string {
	ids := []string{}
	for _, p := range resp.GetProducts() {
		ids = append(ids, p.GetProductId())
	}
	return ids
}

func TestSearchProducts_ReturnsLightRowsPageByPage(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	r.Start()
	r.Observe("stray", "Stray in Stripe", 0)
	for i := range 5 {
		id := fmt.Sprintf("mug-%d", i)
		r.DesireProduct(&catalogv1.Product{
			Id: id, Name: fmt.Sprintf("Mug %d", 9-i), Metadata: map[string]string{"color": "red"},
			Prices: []*catalogv1.Price{
				{
					Id:         id + "-eur",
					Currency:   "eur",
					UnitAmount: "1400",
					Recurring:  &catalogv1.Recurring{Interval: "month"},
				},
				{Id: id + "-usd", Currency: "usd", UnitAmount: "1500"},
			},
		}, uint64(i+1))
		r.Eventually(id, controlv1.ProductState_PRODUCT_STATE_PENDING)
	}
	r.Eventually("stray", controlv1.ProductState_PRODUCT_STATE_ORPHAN)
	ask := func(body string) *controlv1.SearchProductsResponse {
		return controltest.Ask[controlv1.SearchProductsResponse](r, "SearchProducts", body)
	}

	byName := `"filter":{"search":"color:red MUG"},"sort":"PRODUCT_SORT_NAME","limit":2`
	first := ask(`{` + byName + `}`)
	require.Equal(t, []string{"mug-4", "mug-3"}, searchIDs(first))
	require.EqualValues(t, 5, first.GetTotal())
	require.Empty(t, first.GetPrevious())
	row := first.GetProducts()[0]
	require.Equal(t, "14.00 EUR / month (+1)", row.GetPrice())
	require.Equal(t, "Mug 5", row.GetName())
	require.Equal(t, "catalog", row.GetKind())
	require.NotNil(t, row.GetDiffersSince())
	require.Empty(t, row.GetStripeId())
	second := ask(`{` + byName + `,"cursor":"` + first.GetNext() + `"}`)
	require.Equal(t, []string{"mug-2", "mug-1"}, searchIDs(second))
	last := ask(`{` + byName + `,"cursor":"` + second.GetNext() + `"}`)
	require.Equal(t, []string{"mug-0"}, searchIDs(last))
	require.Empty(t, last.GetNext())
	back := ask(`{` + byName + `,"cursor":"` + last.GetPrevious() + `"}`)
	require.Equal(t, []string{"mug-2", "mug-1"}, searchIDs(back))

	stray := ask(`{"filter":{"kinds":["extra"]}}`).GetProducts()
	require.Len(t, stray, 1)
	require.Equal(t, "stray", stray[0].GetStripeId())
	require.True(t, stray[0].GetActive())
	require.True(t, stray[0].GetNoActivePrice())
	// The account leaves it alone, so it is no difference, and it is not equal to anything either.
	plan := controltest.Ask[controlv1.PlanResponse](r, "Plan", `{"product_ids":["stray","mug-1"]}`)
	require.Equal(t, []string{"stray"}, plan.GetOnlyInStripe())
	drift := controltest.Ask[controlv1.ListDriftResponse](r, "ListDrift", `{"product_ids":["mgu","mug-1"]}`)
	require.Equal(t, []string{"mgu"}, drift.GetUnknown())

	counts := controltest.Ask[controlv1.CountProductsResponse](r, "CountProducts",
		`{"filter":{"states":["PRODUCT_STATE_ORPHAN"]}}`)
	require.EqualValues(t, 1, counts.GetTotal())
	require.NotNil(t, counts.GetCountedAt())
	states := counts.GetFacets()[0]
	require.Equal(t, "state", states.GetName())
	require.Equal(t, "pending", states.GetValues()[0].GetValue())
	require.EqualValues(t, 5, states.GetValues()[0].GetCount())

	for body, want := range map[string]string{
		`{"cursor":"none"}`:                                   "cursor: is not one of an answer",
		`{"cursor":"` + first.GetNext() + `"}`:                "cursor: is of an answer in another order",
		`{"filter":{"kinds":["none"]}}`:                       "is not one of catalog, left, extra",
		`{"filter":{"states":["PRODUCT_STATE_UNSPECIFIED"]}}`: "filter.states[0]: must be",
		`{"filter":{"search":"a\u0000"}}`:                     "filter.search: must not hold",
		`{"limit":1001}`:                                      "limit: must be at most 1000",
	} {
		status, answer := r.Call("SearchProducts", body)
		require.Equal(t, http.StatusBadRequest, status, string(answer))
		require.Contains(t, string(answer), want)
	}
}

func TestGroupDeadLetters_GroupsByServiceReasonAndField(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	r.Start()
	add := func(id, reason, field string) {
		require.NoError(t, r.Mesh.DeadLetter(t.Context(), &meshv1.DeadLetter{
			Service: "push", Account: "default", ProductId: id, Version: 1, Reason: reason, Field: field, Message: id,
			LastAt: timestamppb.Now(), Payload: []byte("long"),
		}))
		require.Eventually(t, func() bool { return slices.Contains(r.Letters(`{}`), "push "+id) }, controltest.Patience,
			10*time.Millisecond)
	}
	add("mug", "refused_by_stripe", "prices.mug-eur.nickname")
	add("cup", "refused_by_stripe", "prices.cup.eur.nickname")
	add("pot", "refused_by_stripe", "")
	add("jar", "invalid_product", "name")
	resp := controltest.Ask[controlv1.GroupDeadLettersResponse](r, "GroupDeadLetters", `{}`)
	require.EqualValues(t, 4, resp.GetTotal())
	require.Len(t, resp.GetGroups(), 3)
	largest := resp.GetGroups()[0]
	require.Equal(t, "prices.nickname", largest.GetField())
	require.EqualValues(t, 2, largest.GetCount())
	require.Equal(t, "cup", largest.GetExample().GetMessage(), "the latest")
	require.Empty(t, largest.GetExample().GetPayload())
	require.Len(t, controltest.Ask[controlv1.GroupDeadLettersResponse](r, "GroupDeadLetters",
		`{"reason":"invalid_product","service":"push"}`).GetGroups(), 1)
	require.Equal(t, []string{"push pot"}, r.Letters(`{"reason":"refused_by_stripe","field":""}`))
	dropped := controltest.Ask[controlv1.DropDeadLettersResponse](r, "DropDeadLetters",
		`{"selection":{"reason":"refused_by_stripe","field":"prices.nickname"}}`)
	require.Len(t, dropped.GetResults(), 2)
	require.Equal(t, []string{"push jar", "push pot"}, r.Letters(`{}`))
}

func TestListActivity_FiltersAndReadsBackwards(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	r.Start()
	for i := range 6 {
		kind := meshv1.OutcomeKind_OUTCOME_KIND_APPLIED
		if i%2 == 1 {
			kind = meshv1.OutcomeKind_OUTCOME_KIND_REPAIRED
		}
		r.PublishOutcomeOf(fmt.Sprintf("mug-%d", i), kind, r.Now(), fmt.Sprintf("Detail %d", i))
		require.Eventually(t, func() bool { return len(r.Kinds(fmt.Sprintf("mug-%d", i))) > 0 }, controltest.Patience,
			10*time.Millisecond)
	}
	ask := func(body string) (ids []string, first uint64) {
		entries := controltest.Ask[controlv1.ListActivityResponse](r, "ListActivity", body).GetEntries()
		for _, e := range entries {
			ids = append(ids, e.GetProductId())
		}
		if len(entries) > 0 {
			first = entries[0].GetId()
		}
		return ids, first
	}
	ids, first := ask(`{"latest":2,"kinds":["applied"]}`)
	require.Equal(t, []string{"mug-2", "mug-4"}, ids)
	ids, _ = ask(fmt.Sprintf(`{"latest":2,"kinds":["applied"],"before":%d}`, first))
	require.Equal(t, []string{"mug-0"}, ids)
	ids, _ = ask(`{"text":"DETAIL 3"}`)
	require.Equal(t, []string{"mug-3"}, ids)
	ids, _ = ask(`{"text":"mug-5","latest":10}`)
	require.Equal(t, []string{"mug-5"}, ids)
	ids, _ = ask(`{"actor":"ann"}`)
	require.Empty(t, ids)
	r.Desire("mug-1", "Mug", 1)
	r.Eventually("mug-1", controlv1.ProductState_PRODUCT_STATE_PENDING)
	controltest.Ask[controlv1.SyncProductsResponse](r, "SyncProducts", `{"product_ids":["mug-1"],"actor":"ann"}`)
	ids, _ = ask(`{"actor":"ann"}`)
	require.Equal(t, []string{"mug-1"}, ids)
	for _, body := range []string{`{"before":3}`, `{"failed":true,"kinds":["applied"]}`} {
		status, answer := r.Call("ListActivity", body)
		require.Equal(t, http.StatusBadRequest, status, string(answer))
	}
}
