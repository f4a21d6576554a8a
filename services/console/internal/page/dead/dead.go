// Package dead is the page with what was refused, in groups, and what can be done about it.
package dead

import (
	"errors"
	"net/url"
	"strings"

	"connectrpc.com/connect"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/console/internal/live"
	"github.com/driftless-sync/driftless/services/console/internal/view"
	"github.com/driftless-sync/driftless/services/console/internal/web"
	"github.com/driftless-sync/driftless/services/internal/auth"
	"github.com/driftless-sync/driftless/services/internal/visible"
)

// shown is the largest number of letters on a page: the latest.
const shown = 200

// Add adds the page and its actions.
func Add(app *web.App) {
	app.Page("/dead", show)
	app.Action(auth.Operate, "/dead/replay", replay)
	app.Action(auth.Operate, "/dead/drop", drop)
}

// query is what the address of the page asks for. field is nil for letters of any field.
type query struct {
	service, reason string
	field           *string
}

func parse(v url.Values) query {
	q := query{service: v.Get("service"), reason: v.Get("reason")}
	if v.Has("field") {
		field := v.Get("field")
		q.field = &field
	}
	return q
}

func (q query) path() string {
	v := url.Values{}
	if q.service != "" {
		v.Set("service", q.service)
	}
	if q.reason != "" {
		v.Set("reason", q.reason)
	}
	if q.field != nil {
		v.Set("field", *q.field)
	}
	if len(v) == 0 {
		return "/dead"
	}
	return "/dead?" + v.Encode()
}

// command returns the command that lists the same. It is empty for a field, which the command line cannot select by.
func (q query) command() string {
	if q.field != nil {
		return ""
	}
	line := "driftless dead"
	if q.service != "" {
		line += " --service " + visible.Argument(q.service)
	}
	if q.reason != "" {
		line += " --reason " + visible.Argument(q.reason)
	}
	return line
}

// is reports whether the page shows a group.
func (q query) is(g *controlv1.DeadLetterGroup) bool {
	return q.service == g.GetService() && q.reason == g.GetReason() && q.field != nil && *q.field == g.GetField()
}

func show(v *web.Visit) (view.Page, error) {
	q := parse(v.URL.Query())
	equality, err := web.ReadEquality(v)
	if err != nil {
		return view.Page{}, err
	}
	groups, err := v.Control.GroupDeadLetters(v.Context(), connect.NewRequest(&controlv1.GroupDeadLettersRequest{}))
	if err != nil {
		return view.Page{}, err
	}
	letters, err := v.Control.ListDeadLetters(v.Context(), connect.NewRequest(&controlv1.ListDeadLettersRequest{
		Limit: shown, Service: q.service, Reason: q.reason, Field: q.field,
	}))
	if err != nil {
		return view.Page{}, err
	}
	return view.Page{
		Title:   "Dead letters",
		Section: "/dead",
		Body:    page(q, equality, groups.Msg, letters.Msg.GetDeadLetters()),
		Command: q.command(),
		Live:    live.Activity + "," + live.Status,
	}, nil
}

// selection returns the letters that a form names: those of the selected products, or all of a group. The group of the
// page also limits the letters of a product.
func selection(v *web.Visit) (*controlv1.DeadLetterSelection, error) {
	s := &controlv1.DeadLetterSelection{
		Service: v.PostForm.Get("service"), Reason: v.PostForm.Get("of_reason"), ProductIds: v.PostForm["id"],
	}
	if v.PostForm.Has("of_field") {
		s.Field = new(v.PostForm.Get("of_field"))
	}
	if v.PostForm.Get("group") == "" && len(s.GetProductIds()) == 0 {
		return nil, connect.NewError(connect.CodeInvalidArgument, errors.New("no dead letter is selected"))
	}
	return s, nil
}

func replay(v *web.Visit) (web.Done, error) {
	s, err := selection(v)
	if err != nil {
		return web.Done{}, err
	}
	var done tally
	for {
		answer, err := v.Control.ReplayDeadLetters(v.Context(), connect.NewRequest(&controlv1.ReplayDeadLettersRequest{
			Selection: s, Reason: v.PostForm.Get("reason"),
		}))
		if err != nil {
			return web.Done{}, done.stopped(err)
		}
		last := done.add(answer.Msg.GetResults())
		if !answer.Msg.GetTruncated() || last == "" {
			break
		}
		s.After = last
	}
	return web.Done{Text: done.words("is tried again", "are tried again"), Command: command("replay", s)},
		done.failure()
}

func drop(v *web.Visit) (web.Done, error) {
	s, err := selection(v)
	if err != nil {
		return web.Done{}, err
	}
	var done tally
	for {
		answer, err := v.Control.DropDeadLetters(v.Context(), connect.NewRequest(&controlv1.DropDeadLettersRequest{
			Selection: s, Why: v.PostForm.Get("reason"),
		}))
		if err != nil {
			return web.Done{}, done.stopped(err)
		}
		last := done.add(answer.Msg.GetResults())
		if !answer.Msg.GetTruncated() || last == "" {
			break
		}
		s.After = last
	}
	return web.Done{Text: done.words("is dropped", "are dropped"), Command: command("drop", s)}, done.failure()
}

// groupFields are the hidden fields of a form about all letters of a group.
func (q query) groupFields() []view.Field {
	fields := []view.Field{
		{Name: "group", Value: "1"}, {Name: "service", Value: q.service}, {Name: "of_reason", Value: q.reason},
	}
	if q.field != nil {
		fields = append(fields, view.Field{Name: "of_field", Value: *q.field})
	}
	return fields
}

// groupCommand returns the command about all letters of a group, empty if there is none.
func (q query) groupCommand(verb string) string {
	return command(verb, &controlv1.DeadLetterSelection{Service: q.service, Reason: q.reason, Field: q.field})
}

// groupWords names the group of the page.
func (q query) groupWords() string {
	words := "All letters of " + q.service + " with this reason"
	switch {
	case q.field == nil:
	case *q.field == "":
		words += " and without a field"
	default:
		words += " and the field " + *q.field
	}
	return words
}

// command returns the command about the letters of a selection. It is empty for all of a field, which the command line
// cannot say.
func command(verb string, s *controlv1.DeadLetterSelection) string {
	if s.Field != nil && len(s.GetProductIds()) == 0 {
		return ""
	}
	parts := []string{"driftless dead", verb}
	for i, id := range s.GetProductIds() {
		if i == 5 {
			parts = append(parts, "...")
			break
		}
		parts = append(parts, visible.Argument(id))
	}
	if s.GetReason() != "" {
		parts = append(parts, "--reason", visible.Argument(s.GetReason()))
	}
	if s.GetService() != "" {
		parts = append(parts, "--service", visible.Argument(s.GetService()))
	}
	return strings.Join(parts, " ")
}
