// Package products is the list of all products: search, facets, order, and what can be done to many of them.
package products

import (
	"net/url"

	"connectrpc.com/connect"
	"golang.org/x/sync/errgroup"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/console/internal/live"
	"github.com/driftless-sync/driftless/services/console/internal/view"
	"github.com/driftless-sync/driftless/services/console/internal/web"
)

// shown is the number of products on a page.
const shown = 100

// Add adds the page and its actions.
func Add(app *web.App) {
	app.Page("/products", show)
	for _, a := range actions {
		app.Action(a.role, a.path(), a.run)
	}
}

// list is what the page shows.
type list struct {
	query query
	// equality says up to when the list is known.
	equality *controlv1.Equality
	*controlv1.SearchProductsResponse
	// counted is nil if the counts could not be read, and unknown says why.
	counted *controlv1.CountProductsResponse
	unknown string
}

func show(v *web.Visit) (view.Page, error) {
	q := parse(v.URL.Query())
	l := list{query: q}
	var err error
	if l.equality, err = web.ReadEquality(v); err != nil {
		return view.Page{}, err
	}
	o := q.order()
	var group errgroup.Group
	group.Go(func() error {
		answer, err := v.Control.SearchProducts(v.Context(), connect.NewRequest(&controlv1.SearchProductsRequest{
			Filter:     q.filter(),
			Sort:       o.sort,
			Descending: o.descending,
			Limit:      shown,
			Cursor:     q.values.Get(paramCursor),
		}))
		if err != nil {
			return err
		}
		l.SearchProductsResponse = answer.Msg
		return nil
	})
	group.Go(func() error {
		answer, err := v.Control.CountProducts(v.Context(), connect.NewRequest(&controlv1.CountProductsRequest{
			Filter: q.filter(),
		}))
		if err != nil {
			l.unknown = web.Explain(err)
			return nil
		}
		l.counted = answer.Msg
		return nil
	})
	if err := group.Wait(); err != nil {
		return view.Page{}, err
	}
	return view.Page{
		Title:   "Products",
		Section: "/products",
		Body:    page(l),
		Command: q.command(),
		Live:    live.Status + "," + live.Activity,
	}, nil
}

// before and after are the addresses of the pages around this one, empty if there is none.
func (l list) before() string { return l.page(l.GetPrevious()) }
func (l list) after() string  { return l.page(l.GetNext()) }

func (l list) page(cursor string) string {
	if cursor == "" {
		return ""
	}
	return l.query.with(paramCursor, cursor).path()
}

// heading says how many products match.
func (l list) heading() string {
	n := atLeast(l.GetTotal(), l.GetTotalIsMinimum())
	switch {
	case l.GetTotal() == 1 && !l.GetTotalIsMinimum():
		return "1 product"
	case l.query.isEmpty():
		return "All " + n + " products"
	}
	return n + " products"
}

// emptyText says why there are no products, and what that means.
func (l list) emptyText() (title, text string) {
	switch {
	case l.query.values.Get(paramCursor) != "":
		return "No more products", "This is the end of the list. It begins on the first page."
	case l.query.isEmpty() && !view.IsKnown(l.equality):
		return "No product is known", "It is not known whether there are any now: see above."
	case l.query.isEmpty():
		return "No products yet", "Neither the catalog nor Stripe is known to have a product."
	case l.query.values.Get(paramSearch) != "":
		return "Nothing found", "No product has all of these words, from their beginnings, in its id, name, prices, " +
			"lookup keys, ids of Stripe or metadata, and matches what is chosen."
	}
	return "Nothing matches", "No product matches everything that is chosen."
}

// parseFilter reads the filter of a form, which has the page's address.
func parseFilter(encoded string) (query, error) {
	values, err := url.ParseQuery(encoded)
	return parse(values), err
}
