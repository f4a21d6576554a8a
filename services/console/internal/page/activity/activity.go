// Package activity is the page with everything that happens, latest first.
package activity

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"

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
	product, kind, actor, text string
	// failed leaves out all but what failed or waits for a person.
	failed bool
	// before is the id of the entry that the page begins before, 0 for the latest.
	before uint64
}

// Add adds the page.
func Add(app *web.App) { app.Page("/activity", show) }

func parse(v url.Values) (filter, error) {
	f := filter{
		product: v.Get("product"), kind: v.Get("kind"), actor: v.Get("actor"), text: v.Get("text"),
		failed: v.Get("failed") != "",
	}
	if text := v.Get("before"); text != "" {
		before, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return f, connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("before: %q is no number", text))
		}
		f.before = before
	}
	return f, nil
}

func (f filter) request() *controlv1.ListActivityRequest {
	r := &controlv1.ListActivityRequest{
		Latest: shown, Failed: f.failed, Actor: f.actor, Text: f.text, Before: f.before,
	}
	if f.product != "" {
		r.ProductIds = []string{f.product}
	}
	if f.kind != "" && !f.failed {
		r.Kinds = []string{f.kind}
	}
	return r
}

func show(v *web.Visit) (view.Page, error) {
	f, err := parse(v.URL.Query())
	if err != nil {
		return view.Page{}, err
	}
	answer, err := v.Control.ListActivity(v.Context(), connect.NewRequest(f.request()))
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
		Live:    f.live(),
	}, nil
}

// live returns the events after which the page is read again. Earlier entries do not change.
func (f filter) live() string {
	if f.before != 0 {
		return ""
	}
	return live.Activity
}

// command returns the command that prints the same. It is empty for what no command selects.
func (f filter) command() string {
	if f.kind != "" || f.actor != "" || f.text != "" || f.before != 0 {
		return ""
	}
	line := "driftless tail -f"
	if f.failed {
		line += " --failed"
	}
	if f.product != "" {
		line += " " + visible.Argument(f.product)
	}
	return line
}

// path returns the address of the page with the filter.
func (f filter) path() string {
	q := url.Values{}
	for name, value := range map[string]string{
		"product": f.product, "kind": f.kind, "actor": f.actor, "text": f.text,
	} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if f.failed {
		q.Set("failed", "1")
	}
	if f.before != 0 {
		q.Set("before", strconv.FormatUint(f.before, 10))
	}
	if len(q) == 0 {
		return "/activity"
	}
	return "/activity?" + q.Encode()
}

// only returns the filter for what failed, or for everything.
func (f filter) only(failed bool) filter {
	f.failed, f.before = failed, 0
	if failed {
		f.kind = ""
	}
	return f
}

// older returns the path of the page with the entries before those, "" if there may be none.
func (f filter) older(entries []*controlv1.ActivityEntry) string {
	if len(entries) < shown {
		return ""
	}
	next := f
	next.before = entries[len(entries)-1].GetId()
	return next.path()
}

// latest returns the path of the page with the latest entries, "" if it is this one.
func (f filter) latest() string {
	if f.before == 0 {
		return ""
	}
	first := f
	first.before = 0
	return first.path()
}

// kinds are the kinds of entries that a visitor can choose.
var kinds = []string{
	"catalog_change", "stripe_event", "applied", "confirmed", "drifted", "repaired", "written_back", "failed", "dead",
	"held", "approved", "rejected", "released", "ordered", "resolved", "ignored", "dropped", "rollback", "paused",
	"resumed", "scan", "reread", "ledger_reread", "adopted", "adoption_refused",
}
