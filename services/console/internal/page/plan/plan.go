// Package plan is the page with the changes that Driftless would make, and those that wait for an approval.
package plan

import (
	"net/url"

	"connectrpc.com/connect"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/console/internal/live"
	"github.com/driftless-sync/driftless/services/console/internal/view"
	"github.com/driftless-sync/driftless/services/console/internal/web"
	"github.com/driftless-sync/driftless/services/internal/auth"
)

// shown is the number of products on a page.
const shown = 50

// maxSelected is how many products a request may name.
const maxSelected = 1000

// Add adds the page and its actions.
func Add(app *web.App) {
	app.Page("/plan", show)
	app.Action(auth.Approve, "/plan/approve", approve)
	app.Action(auth.Approve, "/plan/reject", reject)
}

// query is what the address of the page asks for.
type query struct {
	// held leaves out everything but held changes.
	held bool
	// after is what the page begins after: a product's id, or the cursor of a search for held products.
	after string
	// usage also asks Stripe what uses the prices.
	usage bool
}

func parse(v url.Values) query {
	return query{held: v.Get("held") != "", after: v.Get("after"), usage: v.Get("usage") != ""}
}

// path returns the address of the page.
func (q query) path() string {
	v := url.Values{}
	if q.held {
		v.Set("held", "1")
	}
	if q.after != "" {
		v.Set("after", q.after)
	}
	if q.usage {
		v.Set("usage", "1")
	}
	if len(v) == 0 {
		return "/plan"
	}
	return "/plan?" + v.Encode()
}

func (q query) command() string {
	line := "driftless plan"
	if q.usage {
		line += " --usage"
	}
	return line
}

func show(v *web.Visit) (view.Page, error) {
	q := parse(v.URL.Query())
	if q.held {
		return showHeld(v, q)
	}
	answer, err := v.Control.Plan(v.Context(), connect.NewRequest(&controlv1.PlanRequest{
		Limit: shown, After: q.after, Usage: q.usage,
	}))
	if err != nil {
		return view.Page{}, err
	}
	next := ""
	if products := answer.Msg.GetProducts(); answer.Msg.GetTruncated() && len(products) > 0 {
		next = products[len(products)-1].GetProductId()
	}
	return q.page(answer.Msg, next, 0), nil
}

// showHeld shows held changes only. The plan has no filter, so a search finds the held products to plan.
func showHeld(v *web.Visit, q query) (view.Page, error) {
	equality, err := web.ReadEquality(v)
	if err != nil {
		return view.Page{}, err
	}
	held, err := v.Control.SearchProducts(v.Context(), connect.NewRequest(&controlv1.SearchProductsRequest{
		Filter: heldOnly(), Limit: shown, Cursor: q.after,
	}))
	if err != nil {
		return view.Page{}, err
	}
	request := &controlv1.PlanRequest{Limit: shown, Usage: q.usage}
	for _, p := range held.Msg.GetProducts() {
		request.ProductIds = append(request.ProductIds, p.GetProductId())
	}
	if len(request.GetProductIds()) == 0 {
		// Without ids the request would plan the whole catalog.
		return q.page(&controlv1.PlanResponse{Equality: equality}, "", held.Msg.GetTotal()), nil
	}
	answer, err := v.Control.Plan(v.Context(), connect.NewRequest(request))
	if err != nil {
		return view.Page{}, err
	}
	return q.page(answer.Msg, held.Msg.GetNext(), held.Msg.GetTotal()), nil
}

// page returns the page with an answer. next is what the following page begins after, "" if this is the last one. held
// is the number of all held changes.
func (q query) page(answer *controlv1.PlanResponse, next string, held uint64) view.Page {
	link := ""
	if next != "" {
		following := q
		following.after = next
		link = following.path()
	}
	return view.Page{
		Title:   "Plan",
		Section: "/plan",
		Body:    page(q, answer, link, held),
		Command: q.command(),
		Live:    live.Status + "," + live.Activity,
	}
}
