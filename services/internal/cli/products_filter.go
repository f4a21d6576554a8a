package cli

import (
	"context"
	"slices"

	"connectrpc.com/connect"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/proto/driftless/control/v1/controlv1connect"
)

// productFilter has the flags that select products. Each that is set must match.
type productFilter struct {
	State         []string `enum:"in_sync,pending,held,drifted,dead,extra" help:"Only these states, separated by commas: in_sync, pending, held, drifted, dead, extra."`
	Kind          []string `enum:"catalog,left,extra" help:"Only these kinds, separated by commas: catalog (the catalog has it), left (it left the catalog), extra (only Stripe has it). Defaults to catalog,extra, and to all with a state, drift, dead letter or rule."`
	Words         string   `placeholder:"WORDS" help:"Only products that have all these words, each from the beginning of a word and in any case: in ids, names, ids and lookup keys of prices, Stripe's ids, and metadata as key:value."`
	DriftKind     []string `enum:"${drift_kinds}" help:"Only products with open drift of these kinds, separated by commas: ${drift_kinds}."`
	Cause         []string `enum:"dashboard,api_key,unknown" help:"Only products whose open drift was caused by these, separated by commas: dashboard, api_key, unknown."`
	DeadReason    []string `placeholder:"REASON" facet:"dead_reason" help:"Only products with an open dead letter with these reasons, separated by commas, such as invalid_product."`
	Rule          []string `placeholder:"RULE" facet:"rule" help:"Only products that these rules of the guard hold, separated by commas. check stands for all checks of yours."`
	NoActivePrice bool     `help:"Only active products without an active price."`
}

// isPlain reports whether only states and kinds are restricted.
func (f *productFilter) isPlain() bool {
	return f.Words == "" && !f.NoActivePrice && !f.hasTrait()
}

func (f *productFilter) hasTrait() bool {
	return len(f.DriftKind)+len(f.Cause)+len(f.DeadReason)+len(f.Rule) > 0
}

// kinds returns the kinds to list. A refused product may be in the catalog or may have left it.
func (f *productFilter) kinds() []string {
	if len(f.Kind) == 0 && len(f.State) == 0 && !f.hasTrait() {
		return []string{"catalog", "extra"}
	}
	return f.Kind
}

func (f *productFilter) states() (out []controlv1.ProductState) {
	for _, name := range f.State {
		out = append(out, productStates[name])
	}
	return out
}

func (f *productFilter) filter() *controlv1.ProductFilter {
	return &controlv1.ProductFilter{
		Search:        f.Words,
		States:        f.states(),
		Kinds:         f.kinds(),
		DriftKinds:    f.DriftKind,
		Causes:        f.Cause,
		DeadReasons:   f.DeadReason,
		Rules:         f.Rule,
		NoActivePrice: f.NoActivePrice,
	}
}

// productOrders are the orders of a list by their names on the command line.
var productOrders = map[string]controlv1.ProductSort{
	"id":      controlv1.ProductSort_PRODUCT_SORT_ID,
	"name":    controlv1.ProductSort_PRODUCT_SORT_NAME,
	"differs": controlv1.ProductSort_PRODUCT_SORT_DIFFERS_SINCE,
	"changed": controlv1.ProductSort_PRODUCT_SORT_CHANGED_AT,
}

// searchPages is pages for filters and orders that only a search has. It returns the cursor to continue after.
func (cmd *productsListCmd) searchPages(ctx context.Context, client controlv1connect.ControlServiceClient,
	yield func([]*controlv1.ProductDetail) error,
) (next string, err error) {
	request := &controlv1.SearchProductsRequest{
		Filter:     cmd.filter(),
		Sort:       productOrders[cmd.Sort],
		Descending: cmd.Descending,
		Cursor:     cmd.After,
	}
	for left := cmd.Limit; ; {
		request.Limit = maxProductPage
		if cmd.Limit > 0 && cmd.Search == "" {
			request.Limit = min(left, maxProductPage)
		}
		resp, err := client.SearchProducts(ctx, connect.NewRequest(request))
		if err != nil {
			return "", err
		}
		rows, next := resp.Msg.GetProducts(), resp.Msg.GetNext()
		page, err := cmd.details(ctx, client, rows)
		if err != nil {
			return "", err
		}
		if cmd.Limit > 0 && uint32(len(page)) > left {
			page = page[:left]
			last := page[left-1].GetProductId()
			at := slices.IndexFunc(rows, func(r *controlv1.ProductRow) bool { return r.GetProductId() == last })
			// The cursor after the last product that is shown.
			request.Limit = uint32(at + 1)
			if resp, err = client.SearchProducts(ctx, connect.NewRequest(request)); err != nil {
				return "", err
			}
			next = resp.Msg.GetNext()
		}
		if err := yield(page); err != nil {
			return "", err
		}
		if next == "" || next == request.GetCursor() {
			return "", nil
		}
		request.Cursor = next
		left -= min(left, uint32(len(page)))
		if cmd.Limit > 0 && left == 0 {
			return next, nil
		}
	}
}

// details returns both sides of the products of a search, in its order. It leaves out those whose ids and names do not
// have the text, and a product that is gone meanwhile.
func (cmd *productsListCmd) details(ctx context.Context, client controlv1connect.ControlServiceClient,
	rows []*controlv1.ProductRow,
) ([]*controlv1.ProductDetail, error) {
	// Without ids the answer would have all products.
	if len(rows) == 0 {
		return nil, nil
	}
	place := map[string]int{}
	request := &controlv1.ListProductsRequest{Search: cmd.Search, Limit: uint32(len(rows))}
	for i, row := range rows {
		place[row.GetProductId()] = i
		request.ProductIds = append(request.ProductIds, row.GetProductId())
	}
	resp, err := client.ListProducts(ctx, connect.NewRequest(request))
	if err != nil {
		return nil, err
	}
	products := resp.Msg.GetProducts()
	slices.SortFunc(products, func(a, b *controlv1.ProductDetail) int {
		return place[a.GetProductId()] - place[b.GetProductId()]
	})
	return products, nil
}
