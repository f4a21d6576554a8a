// Package story is the page with everything that happened to one change of the catalog.
package story

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"connectrpc.com/connect"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/console/internal/live"
	"github.com/driftless-sync/driftless/services/console/internal/story"
	"github.com/driftless-sync/driftless/services/console/internal/view"
	"github.com/driftless-sync/driftless/services/console/internal/web"
	"github.com/driftless-sync/driftless/services/internal/visible"
)

// Add adds the page.
func Add(app *web.App) { app.Page("/products/{id}/story/{version}", show) }

// maxEntries is how many entries of a product's history are read. The API returns no more.
const maxEntries = 1000

// shown is what the page shows.
type shown struct {
	id string
	story.Story
	// now explains the present state of the product. Nil if the story has ended, or if that is not known.
	now *controlv1.Explanation
	// unknown is why later entries may be missing.
	unknown string
	// before and after are the versions of the changes before and after this one, 0 if there is none.
	before, after uint64
}

func show(v *web.Visit) (view.Page, error) {
	id := v.PathValue("id")
	version, err := strconv.ParseUint(v.PathValue("version"), 10, 64)
	if err != nil {
		return view.Page{}, connect.NewError(connect.CodeNotFound,
			fmt.Errorf("%s is no version of a product", v.PathValue("version")))
	}
	answer, err := v.Control.ListHistory(v.Context(), connect.NewRequest(&controlv1.ListHistoryRequest{
		ProductId: id,
		Limit:     maxEntries,
	}))
	if err != nil {
		return view.Page{}, err
	}
	t := shown{id: id, unknown: answer.Msg.GetUnknown()}
	told, found := story.Tell(answer.Msg.GetEntries(), version)
	if !found {
		return view.Page{}, missing(id, version, answer.Msg)
	}
	t.Story = told
	t.before, t.after = neighbors(answer.Msg.GetEntries(), version)
	if !t.Ended && t.By == 0 {
		t.now = explain(v, id)
	}
	page := view.Page{
		Title:   fmt.Sprintf("Version %d of %s", version, id),
		Section: "/products",
		Body:    storyPage(t),
		Command: "driftless history " + visible.Argument(id),
		Live:    live.Activity,
	}
	if trace := t.Entry.GetTraceId(); trace != "" {
		page.Command = "driftless trace --trace-id " + visible.Argument(trace)
	}
	return page, nil
}

// explain returns where a product is now, nil if that is not known: the page is useful without it.
func explain(v *web.Visit, id string) *controlv1.Explanation {
	answer, err := v.Control.Explain(v.Context(), connect.NewRequest(&controlv1.ExplainRequest{
		Id:          id,
		RowsUnknown: "the story is about the captured state",
	}))
	if err != nil || len(answer.Msg.GetExplanations()) != 1 {
		return nil
	}
	return answer.Msg.GetExplanations()[0]
}

// missing returns the error about a version that the history does not have.
func missing(id string, version uint64, history *controlv1.ListHistoryResponse) error {
	text := fmt.Sprintf("the history of %s has no change with version %d", id, version)
	switch {
	case len(history.GetProductIds()) == 0 && len(history.GetEntries()) == 0:
		text = "nothing is known of a product " + id
	case len(history.GetEntries()) >= maxEntries:
		text += fmt.Sprintf(" among its latest %d entries", maxEntries)
	}
	if history.GetUnknown() != "" {
		text += "; " + history.GetUnknown()
	}
	return connect.NewError(connect.CodeNotFound, errors.New(text))
}

// neighbors returns the versions of the changes before and after another one, 0 if there is none.
func neighbors(entries []*controlv1.HistoryEntry, version uint64) (before, after uint64) {
	var all []uint64
	for _, c := range story.Changes(entries) {
		all = append(all, c.Entry.GetVersion())
	}
	slices.Sort(all)
	i, found := slices.BinarySearch(all, version)
	if !found {
		return 0, 0
	}
	if i > 0 {
		before = all[i-1]
	}
	if i+1 < len(all) {
		after = all[i+1]
	}
	return before, after
}

// heading says how the change ended, or how far it is.
func (t shown) heading() string {
	took := ""
	if t.Took > 0 {
		took = ", " + view.Duration(t.Took) + " after the commit"
	}
	switch t.Outcome {
	case "confirmed":
		return "Confirmed by Stripe" + took
	case "nothing to write":
		return "Stripe had this state already" + took
	}
	return view.Capitalize(t.Outcome) + took
}

// bar is where a step is on the line of the whole story, in percent.
type bar struct{ x, width string }

// minBar is the narrowest bar that can be seen, in percent.
const minBar = 0.8

// barOf returns the bar of a step. A step without a duration has the narrowest one.
func (t shown) barOf(s story.Step) bar {
	whole := t.End.Sub(t.Start)
	if whole <= 0 {
		return bar{"0", "100"}
	}
	share := func(d time.Duration) float64 { return 100 * float64(d) / float64(whole) }
	width := max(share(s.Took()), minBar)
	x := min(max(share(s.Start.Sub(t.Start)), 0), 100-width)
	return bar{strconv.FormatFloat(x, 'f', 2, 64), strconv.FormatFloat(width, 'f', 2, 64)}
}

// offset returns the time from the story's start to a step's.
func (t shown) offset(s story.Step) string {
	d := s.Start.Sub(t.Start)
	if d <= 0 {
		return "0"
	}
	return "+" + view.Duration(d)
}

// received says when Stripe's event about a call came. The step starts with Stripe's answer to the call, and the event
// may come before that.
func received(s story.Step) string {
	if d := s.Received.Sub(s.Start); d >= time.Millisecond {
		return "The event came " + view.Duration(d) + " after Stripe's answer."
	}
	return "The event came at the time of Stripe's answer."
}
