package control_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
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
