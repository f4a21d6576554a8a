// Package activity is the page with everything that happens, latest first.
package activity

import (
	"net/url"
	"slices"

	"connectrpc.com/connect"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/console/internal/live"
	"github.com/driftless-sync/driftless/services/console/internal/view"
	"github.com/driftless-sync/driftless/services/console/internal/web"
	"github.com/driftless-sync/driftless/services/internal/visible"
)

// shown is the number of entries on a page.
const shown = 200

// filter is what the visitor looks for.
type filter struct {
	product string
	failed  bool
}

// Add adds the page.
func Add(app *web.App) { app.Page("/activity", show) }

func show(v *web.Visit) (view.Page, error) {
	f := filter{product: v.URL.Query().Get("product"), failed: v.URL.Query().Get("failed") != ""}
	request := &controlv1.ListActivityRequest{Latest: shown, Failed: f.failed}
	if f.product != "" {
		request.ProductIds = []string{f.product}
	}
	answer, err := v.Control.ListActivity(v.Context(), connect.NewRequest(request))
	if err != nil {
		return view.Page{}, err
	}
	entries := slices.Clone(answer.Msg.GetEntries())
	slices.Reverse(entries)
	return view.Page{
		Title:   "Activity",
		Section: "/activity",
		Body:    page(f, entries),
		Command: f.command(),
		Live:    live.Activity,
	}, nil
}

// command returns the command that prints the same.
func (f filter) command() string {
	line := "driftless tail -f"
	if f.failed {
		line += " --failed"
	}
	if f.product != "" {
		line += " " + visible.Argument(f.product)
	}
	return line
}

// link returns the path of the page with another filter.
func (f filter) link(failed bool) string {
	q := url.Values{}
	if f.product != "" {
		q.Set("product", f.product)
	}
	if failed {
		q.Set("failed", "1")
	}
	if len(q) == 0 {
		return "/activity"
	}
	return "/activity?" + q.Encode()
}
