package control

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"connectrpc.com/connect"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/describe"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

var sorts = map[controlv1.ProductSort]ledger.Sort{
	controlv1.ProductSort_PRODUCT_SORT_UNSPECIFIED:   ledger.SortID,
	controlv1.ProductSort_PRODUCT_SORT_ID:            ledger.SortID,
	controlv1.ProductSort_PRODUCT_SORT_NAME:          ledger.SortName,
	controlv1.ProductSort_PRODUCT_SORT_DIFFERS_SINCE: ledger.SortDiffersSince,
	controlv1.ProductSort_PRODUCT_SORT_CHANGED_AT:    ledger.SortChangedAt,
}

// SearchProducts returns a page of rows in one of several orders.
func (c control) SearchProducts(ctx context.Context,
	req *connect.Request[controlv1.SearchProductsRequest],
) (*connect.Response[controlv1.SearchProductsResponse], error) {
	filter, err := productFilter(req.Msg.GetFilter())
	if err != nil {
		return nil, err
	}
	page := cursorPage{ledger.Page{
		Sort:       sorts[req.Msg.GetSort()],
		Descending: req.Msg.GetDescending(),
		Limit:      int(cmp.Or(req.Msg.GetLimit(), defaultLimit)),
	}}
	if err := page.setCursor(req.Msg.GetCursor()); err != nil {
		return nil, err
	}
	var rows []ledger.Row
	var more bool
	var counted counted
	group, both := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		rows, more, err = c.Ledger.Page(both, filter, page.Page)
		return err
	})
	group.Go(func() (err error) {
		counted, err = c.counts.total(both, c.Ledger, filter)
		return err
	})
	if err := group.Wait(); err != nil {
		return nil, unavailable(err)
	}
	out := &controlv1.SearchProductsResponse{
		Total:          counted.count.N,
		TotalIsMinimum: counted.count.IsMinimum,
		CountedAt:      timestamppb.New(counted.at),
	}
	for _, r := range rows {
		out.Products = append(out.Products, productRow(r))
	}
	out.Next, out.Previous = page.cursors(rows, more)
	return connect.NewResponse(out), nil
}

// CountProducts counts products by each value of what a filter can restrict.
func (c control) CountProducts(ctx context.Context,
	req *connect.Request[controlv1.CountProductsRequest],
) (*connect.Response[controlv1.CountProductsResponse], error) {
	filter, err := productFilter(req.Msg.GetFilter())
	if err != nil {
		return nil, err
	}
	counted, err := c.counts.facets(ctx, c.Ledger, filter)
	if err != nil {
		return nil, unavailable(err)
	}
	out := &controlv1.CountProductsResponse{
		Total:          counted.facets.Total.N,
		TotalIsMinimum: counted.facets.Total.IsMinimum,
		CountedAt:      timestamppb.New(counted.at),
	}
	for _, f := range counted.facets.Facets {
		facet := &controlv1.Facet{Name: f.Facet}
		for _, v := range f.Values {
			facet.Values = append(facet.Values,
				&controlv1.FacetValue{Value: v.Value, Count: v.N, IsMinimum: v.IsMinimum})
		}
		out.Facets = append(out.Facets, facet)
	}
	return connect.NewResponse(out), nil
}

// productFilter returns the ledger's form of a filter. It returns InvalidArgument for a kind that does not exist.
func productFilter(f *controlv1.ProductFilter) (ledger.ProductFilter, error) {
	for _, kind := range f.GetKinds() {
		if !slices.Contains(ledger.Kinds, kind) {
			return ledger.ProductFilter{}, invalid("filter.kinds: %q is not one of %s", kind,
				strings.Join(ledger.Kinds, ", "))
		}
	}
	out := ledger.ProductFilter{
		Search:        strings.Join(strings.Fields(f.GetSearch()), " "),
		Products:      f.GetProductIds(),
		Kinds:         f.GetKinds(),
		DriftKinds:    f.GetDriftKinds(),
		Causes:        f.GetCauses(),
		DeadReasons:   f.GetDeadReasons(),
		Rules:         f.GetRules(),
		NoActivePrice: f.GetNoActivePrice(),
	}
	for state, name := range states {
		if slices.Contains(f.GetStates(), name) {
			out.States = append(out.States, state)
		}
	}
	slices.Sort(out.States)
	return out, nil
}

func productRow(r ledger.Row) *controlv1.ProductRow {
	out := &controlv1.ProductRow{
		ProductId:     r.ID,
		Name:          cmp.Or(r.Desired.GetProduct().GetName(), r.Observed.GetProduct().GetName()),
		State:         states[r.State],
		Kind:          r.Kind,
		Price:         describe.PriceSummary(r.Desired, r.Observed),
		StripeId:      r.Observed.GetStripeId(),
		DriftKinds:    r.DriftKinds,
		Causes:        r.Causes,
		DeadReasons:   r.DeadReasons,
		Rules:         r.Rules,
		NoActivePrice: r.NoActivePrice,
	}
	if out.GetStripeId() == "" && r.Observed.GetProduct() != nil {
		// Without a link, both sides have the same id.
		out.StripeId = r.ID
	}
	for _, side := range []*catalogv1.Product{r.Desired.GetProduct(), r.Observed.GetProduct()} {
		if side != nil && side.Active != nil && out.Active == nil {
			out.Active = side.Active
		}
	}
	if !r.DiffersSince.IsZero() {
		out.DiffersSince = timestamppb.New(r.DiffersSince)
	}
	if !r.ChangedAt.IsZero() {
		out.ChangedAt = timestamppb.New(r.ChangedAt)
	}
	return out
}

// cursorPage is a page that a request asks for with a cursor.
type cursorPage struct{ ledger.Page }

// cursor is the content of a cursor. It names its order, so that it is not used with another.
type cursor struct {
	Sort       ledger.Sort `json:"s"`
	Descending bool        `json:"d,omitempty"`
	Backwards  bool        `json:"b,omitempty"`
	Key        string      `json:"k,omitempty"`
	ID         string      `json:"i"`
}

// setCursor begins the page where the cursor says. It returns InvalidArgument for one that is not from an answer with
// the page's order.
func (p *cursorPage) setCursor(text string) error {
	if text == "" {
		return nil
	}
	var c cursor
	data, err := base64.RawURLEncoding.DecodeString(text)
	if err == nil {
		err = json.Unmarshal(data, &c)
	}
	if err != nil || c.ID == "" {
		return invalid("cursor: is not one of an answer: leave it empty for the first page")
	}
	if c.Sort != p.Sort || c.Descending != p.Descending {
		return invalid("cursor: is of an answer in another order: leave it empty for the first page")
	}
	if p.Sort == ledger.SortDiffersSince || p.Sort == ledger.SortChangedAt {
		if _, err := strconv.ParseInt(c.Key, 10, 64); err != nil {
			return invalid("cursor: is not one of an answer: leave it empty for the first page")
		}
	}
	p.From, p.Backwards = &ledger.Place{Key: c.Key, ID: c.ID}, c.Backwards
	return nil
}

// cursors returns the cursors of the pages after and before the rows. more reports whether there are more rows in the
// direction of the page.
func (p *cursorPage) cursors(rows []ledger.Row, more bool) (next, previous string) {
	if len(rows) == 0 {
		return "", ""
	}
	if more || p.Backwards {
		next = p.cursor(rows[len(rows)-1].Place, false)
	}
	if p.Backwards && more || !p.Backwards && p.From != nil {
		previous = p.cursor(rows[0].Place, true)
	}
	return next, previous
}

func (p *cursorPage) cursor(place ledger.Place, backwards bool) string {
	data, err := json.Marshal(cursor{p.Sort, p.Descending, backwards, place.Key, place.ID})
	if err != nil {
		// Texts and booleans are always encoded.
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(data)
}
