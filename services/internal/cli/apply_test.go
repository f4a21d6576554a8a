package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/proto/driftless/control/v1/controlv1connect"
	ingestv1 "github.com/driftless-sync/driftless/proto/driftless/ingest/v1"
	"github.com/driftless-sync/driftless/proto/driftless/ingest/v1/ingestv1connect"
	"github.com/driftless-sync/driftless/services/internal/productfile"
)

// refusingIngest takes a number of calls, and then refuses the currency of the second product.
type refusingIngest struct {
	ingestv1connect.IngestServiceClient
	calls int
	end   error
}

func (c *refusingIngest) UpsertProducts(context.Context, *connect.Request[ingestv1.UpsertProductsRequest],
) (*connect.Response[ingestv1.UpsertProductsResponse], error) {
	if c.calls--; c.calls < 0 {
		return nil, c.end
	}
	return connect.NewResponse(&ingestv1.UpsertProductsResponse{
		Products: []*ingestv1.UpsertedProduct{{Created: true}, {}},
	}), nil
}

func TestApplyProducts_SaysWhatWasWritten(t *testing.T) {
	t.Parallel()
	products := make([]productfile.Located, maxBatchProducts+2)
	for i := range products {
		products[i] = productfile.Located{
			Product:    &catalogv1.Product{Id: strconv.Itoa(i)},
			Line:       i + 10,
			PriceLines: []int{i + 11, i + 12},
		}
	}
	invalid := connect.NewError(connect.CodeInvalidArgument, errors.New("1 fault"))
	for _, field := range []string{"products[1].name", "products[1].prices[1].currency", "products"} {
		detail, err := connect.NewErrorDetail(&ingestv1.FieldViolation{Field: field, ProductId: "x", Message: "bad"})
		require.NoError(t, err)
		invalid.AddDetail(detail)
	}
	away := errors.New("the connection broke")

	created, total, err := applyProducts(t.Context(), &refusingIngest{end: invalid}, products, "ann")
	require.Zero(t, created+total)
	require.EqualError(t, err, `nothing was written:
  line 11: products[1].name (product x): bad
  line 13: products[1].prices[1].currency (product x): bad
  products (product x): bad`)

	created, total, err = applyProducts(t.Context(), &refusingIngest{calls: 1, end: invalid}, products, "ann")
	require.Equal(t, []int{1, 1000}, []int{created, total})
	require.EqualError(t, err, `the first 1,000 products were written, and nothing after that:
  line 1011: products[1001].name (product x): bad
  line 1013: products[1001].prices[1].currency (product x): bad
  products (product x): bad`)

	_, _, err = applyProducts(t.Context(), &refusingIngest{end: away}, products, "ann")
	require.Equal(t, away, err, "the call may have worked")
	_, _, err = applyProducts(t.Context(), &refusingIngest{calls: 1, end: away}, products, "ann")
	require.ErrorIs(t, err, away)
	require.ErrorContains(t, err, "the first 1,000 products were written, and then a call failed")
	_, total, err = applyProducts(t.Context(), &refusingIngest{calls: 2}, products, "ann")
	require.NoError(t, err)
	require.Equal(t, len(products), total)
}

// pagedControl returns products one on a page.
type pagedControl struct {
	controlv1connect.ControlServiceClient
	products []*controlv1.ProductDetail
	kinds    [][]string
}

func (c *pagedControl) ListProducts(_ context.Context, req *connect.Request[controlv1.ListProductsRequest],
) (*connect.Response[controlv1.ListProductsResponse], error) {
	c.kinds = append(c.kinds, req.Msg.GetKinds())
	i := 0
	if after := req.Msg.GetAfter(); after != "" {
		last, err := strconv.Atoi(after)
		if err != nil {
			return nil, fmt.Errorf("after: %w", err)
		}
		i = last + 1
	}
	resp := &controlv1.ListProductsResponse{Products: c.products[i : i+1]}
	if i+1 < len(c.products) {
		resp.Next = strconv.Itoa(i)
	}
	return connect.NewResponse(resp), nil
}

func TestExport_ReadsAllPagesOfOneSide(t *testing.T) {
	t.Parallel()
	wanted := &catalogv1.ProductChange{Product: &catalogv1.Product{Id: "a", Name: "Catalog"}}
	held := &catalogv1.Observed{
		ProductId: "a",
		StripeId:  "prod_1",
		Product:   &catalogv1.Product{Id: "prod_1", Name: "Stripe"},
		Prices: []*catalogv1.ObservedPrice{
			{StripeId: "price_1", Price: &catalogv1.Price{Currency: "eur", UnitAmount: "5"}},
			{StripeId: "price_2", Price: &catalogv1.Price{Id: "gone", Active: new(false)}},
		},
	}
	details := []*controlv1.ProductDetail{
		{ProductId: "a", Desired: wanted, Observed: held},
		{ProductId: "b", Desired: &catalogv1.ProductChange{}},
		{ProductId: "c", Observed: &catalogv1.Observed{ProductId: "c", Product: &catalogv1.Product{Name: "Extra"}}},
	}
	for side, want := range map[string]string{
		"catalog": `{"id":"a","name":"Catalog"}` + "\n",
		"stripe": `{"id":"a","active":true,"name":"Stripe","prices":[{"id":"price_1","active":true,"currency":"eur",` +
			`"unit_amount":5,"billing_scheme":"per_unit","tax_behavior":"unspecified"}]}` + "\n" +
			`{"id":"c","active":true,"name":"Extra"}` + "\n",
	} {
		client, out := &pagedControl{products: details}, &exportBuffer{escape: escapeFor("jsonl", false)}
		w, err := productfile.NewWriter(out, productfile.Lines)
		require.NoError(t, err)
		require.NoError(t, (&exportCmd{Side: side}).write(t.Context(), client, w, out))
		require.NoError(t, w.Close())
		require.Equal(t, want, out.String())
		require.Len(t, client.kinds, 3)
		require.Equal(t, side == "catalog", len(client.kinds[0]) > 0)

		err = (&exportCmd{Side: side, Products: []string{"a", "b"}}).write(t.Context(), client, w, out)
		require.ErrorContains(t, err, sideNames[side]+" does not have product b")
	}
}
