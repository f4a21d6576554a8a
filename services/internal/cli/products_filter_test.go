package cli

import (
	"context"
	"slices"
	"strconv"
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/proto/driftless/control/v1/controlv1connect"
)

// searchStub has numbered products, and a search finds all of them in descending order.
type searchStub struct {
	controlv1connect.ControlServiceClient

	products int
	searched []*controlv1.SearchProductsRequest
	// wanted are the products with the text of a list. None if all have it.
	wanted []string
}

func (s *searchStub) SearchProducts(_ context.Context, req *connect.Request[controlv1.SearchProductsRequest],
) (*connect.Response[controlv1.SearchProductsResponse], error) {
	s.searched = append(s.searched, &controlv1.SearchProductsRequest{
		Cursor: req.Msg.GetCursor(), Limit: req.Msg.GetLimit(), Filter: req.Msg.GetFilter(),
	})
	next := s.products
	if c := req.Msg.GetCursor(); c != "" {
		next, _ = strconv.Atoi(c)
	}
	out := &controlv1.SearchProductsResponse{}
	for ; next > 0 && len(out.GetProducts()) < int(req.Msg.GetLimit()); next-- {
		out.Products = append(out.Products, &controlv1.ProductRow{ProductId: strconv.Itoa(next)})
	}
	if next > 0 {
		out.Next = strconv.Itoa(next)
	}
	return connect.NewResponse(out), nil
}

// ListProducts returns the products in the order of their ids, without number 2, which is gone.
func (s *searchStub) ListProducts(_ context.Context, req *connect.Request[controlv1.ListProductsRequest],
) (*connect.Response[controlv1.ListProductsResponse], error) {
	out := &controlv1.ListProductsResponse{}
	for _, id := range slices.Backward(req.Msg.GetProductIds()) {
		if id != "2" && (s.wanted == nil || slices.Contains(s.wanted, id)) {
			out.Products = append(out.Products, &controlv1.ProductDetail{ProductId: id})
		}
	}
	return connect.NewResponse(out), nil
}

func TestProductsList_SearchesInPages(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		limit uint32
		after string
		first string
		count int
		next  string
		pages int
	}{
		"all":      {limit: 0, first: "1002", count: 1001, pages: 2},
		"one page": {limit: 2, first: "1002", count: 2, next: "1000", pages: 1},
		// A product that is gone does not count towards the limit.
		"a page and more": {limit: 1001, first: "1002", count: 1001, pages: 3},
		"the last page":   {limit: 5, after: "3", first: "3", count: 2, pages: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stub := &searchStub{products: 1002}
			cmd := &productsListCmd{Sort: "name", Limit: c.limit, After: c.after}
			cmd.State = []string{"extra"}
			cmd.Cause = []string{"dashboard"}
			var ids []string
			next, err := cmd.pages(t.Context(), stub, func(page []*controlv1.ProductDetail) error {
				for _, p := range page {
					ids = append(ids, p.GetProductId())
				}
				return nil
			})
			require.NoError(t, err)
			require.Equal(t, c.next, next)
			require.Len(t, ids, c.count)
			require.Equal(t, c.first, ids[0])
			require.Len(t, stub.searched, c.pages)
			filter := stub.searched[0].GetFilter()
			require.Equal(t, []controlv1.ProductState{controlv1.ProductState_PRODUCT_STATE_ORPHAN}, filter.GetStates())
			require.Equal(t, []string{"dashboard"}, filter.GetCauses())
			require.Empty(t, filter.GetKinds())
		})
	}
}

// The text is applied to what a search finds, so a page may have none of the products that are wanted.
func TestProductsList_LooksForTheTextInAllPages(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		limit uint32
		ids   []string
		next  string
	}{
		"none on the first page": {limit: 1, ids: []string{"77"}, next: "76"},
		"all":                    {limit: 100, ids: []string{"77", "7"}},
		"no limit":               {limit: 0, ids: []string{"77", "7"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stub := &searchStub{products: 2000, wanted: []string{"7", "77"}}
			cmd := &productsListCmd{Sort: "name", Limit: c.limit, Search: "mug"}
			var ids []string
			next, err := cmd.pages(t.Context(), stub, func(page []*controlv1.ProductDetail) error {
				for _, p := range page {
					ids = append(ids, p.GetProductId())
				}
				return nil
			})
			require.NoError(t, err)
			require.Equal(t, c.ids, ids)
			require.Equal(t, c.next, next)
		})
	}
}

func TestProductFilter_ListsWhatLeftOnlyIfWanted(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{"catalog", "extra"}, (&productFilter{NoActivePrice: true, Words: "oak"}).kinds())
	require.Empty(t, (&productFilter{DeadReason: []string{"invalid_product"}}).kinds())
	require.Empty(t, (&productFilter{State: []string{"dead"}}).kinds())
	require.Equal(t, []string{"left"}, (&productFilter{Kind: []string{"left"}}).kinds())
}
