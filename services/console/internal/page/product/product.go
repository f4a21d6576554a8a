// Package product is the page of one product: the verdict, both sides field by field, its prices, and what can be done.
package product

import (
	"errors"
	"net/url"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/console/internal/live"
	"github.com/driftless-sync/driftless/services/console/internal/view"
	"github.com/driftless-sync/driftless/services/console/internal/web"
	"github.com/driftless-sync/driftless/services/internal/visible"
)

// Add adds the page and its actions.
func Add(app *web.App) {
	app.Page("/products/{id}", show)
	app.Page("/products/{id}/rollback", showRollback)
	addActions(app)
}

func show(v *web.Visit) (view.Page, error) {
	id := v.PathValue("id")
	f, err := load(v, id)
	if to, ok := errors.AsType[elsewhere](err); ok {
		return view.Page{Redirect: to.path}, nil
	}
	if err != nil {
		return view.Page{}, err
	}
	return view.Page{
		Title:   title(f),
		Section: "/products",
		Body:    page(f),
		Command: "driftless why " + visible.Argument(id),
		Live:    live.Status + "," + live.Activity,
	}, nil
}

// title names the product.
func title(f *facts) string {
	if name := f.why.GetName(); name != "" {
		return name
	}
	return f.id
}

func productPath(e *controlv1.Explanation) string {
	if e.GetPriceId() != "" {
		return view.PricePath(e.GetProductId(), e.GetPriceId())
	}
	return view.ProductPath(e.GetProductId())
}

func findPath(id string) string { return "/find?" + url.Values{"id": {id}}.Encode() }
