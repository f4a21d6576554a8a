// Package adoption is the page with the matches of products in the catalog with products that Stripe already has. They
// are reviewed and adopted there, or in a file.
package adoption

import (
	"net/url"
	"slices"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/console/internal/live"
	"github.com/driftless-sync/driftless/services/console/internal/view"
	"github.com/driftless-sync/driftless/services/console/internal/web"
	"github.com/driftless-sync/driftless/services/internal/adoption"
	"github.com/driftless-sync/driftless/services/internal/auth"
	"github.com/driftless-sync/driftless/services/internal/visible"
)

// pageSize is the number of matches on a page.
const pageSize = 50

// Add adds the pages and their actions.
func Add(app *web.App) {
	app.Page("/adoption", show)
	app.Page("/adoption/match", showMatch)
	app.Page("/adoption/applied", showApplied)
	app.File("/adoption/adopt.yaml", export)
	app.Form(auth.Read, "/adoption/review", review)
	app.Action(auth.Operate, "/adoption/apply", applySelected)
	app.Action(auth.Operate, "/adoption/apply-certain", applyCertain)
	app.Action(auth.Operate, "/adoption/apply-match", applyMatch)
	app.Action(auth.Operate, "/adoption/apply-file", applyFile)
}

// Parameters of the addresses.
const (
	paramKey    = "key"
	paramDoubt  = "doubt"
	paramSearch = "q"
	paramAfter  = "after"
	paramOut    = "out"
)

// withoutDoubts is the value of paramDoubt for matches without doubts.
const withoutDoubts = "none"

// query is what the address of the list says.
type query struct {
	// key is the key of metadata that is compared. Empty is the usual one.
	key string
	// doubt restricts the list to matches with a doubt, or without one.
	doubt, search, after string
	// out are the products that the visitor leaves out, without repetitions.
	out []string
}

func parse(v url.Values) query {
	q := query{
		key:    strings.TrimSpace(v.Get(paramKey)),
		doubt:  v.Get(paramDoubt),
		search: strings.TrimSpace(v.Get(paramSearch)),
		after:  v.Get(paramAfter),
		out:    slices.Clone(v[paramOut]),
	}
	if q.key == adoption.DefaultMetadataKey {
		q.key = ""
	}
	slices.Sort(q.out)
	q.out = slices.Compact(q.out)
	return q
}

func (q query) values() url.Values {
	v := url.Values{}
	for name, value := range map[string]string{
		paramKey: q.key, paramDoubt: q.doubt, paramSearch: q.search, paramAfter: q.after,
	} {
		if value != "" {
			v.Set(name, value)
		}
	}
	for _, id := range q.out {
		v.Add(paramOut, id)
	}
	return v
}

// path returns the address of a page with the query's values.
func (q query) path(page string) string {
	if v := q.values(); len(v) > 0 {
		return page + "?" + v.Encode()
	}
	return page
}

// withDoubt returns the query for another doubt, on the first page.
func (q query) withDoubt(doubt string) query {
	q.doubt, q.after = doubt, ""
	return q
}

// isOut reports whether a product is left out.
func (q query) isOut(product string) bool { return slices.Contains(q.out, product) }

// toggleOut returns the query with a product left out, or taken back.
func (q query) toggleOut(product string) query {
	was := q.out
	q.out = slices.DeleteFunc(slices.Clone(was), func(id string) bool { return id == product })
	if len(q.out) == len(was) {
		q.out = append(q.out, product)
	}
	slices.Sort(q.out)
	return q
}

// request returns the request for the page of the list.
func (q query) request() *controlv1.PlanAdoptionRequest {
	r := &controlv1.PlanAdoptionRequest{MetadataKey: q.key, Search: q.search, After: q.after, Limit: pageSize}
	switch q.doubt {
	case "":
	case withoutDoubts:
		r.Certain = true
	default:
		r.Doubts = []string{q.doubt}
	}
	return r
}

// command returns the command that makes the same plan.
func (q query) command() string {
	line := "driftless adopt plan"
	if q.key != "" {
		line += " --metadata-key " + visible.Argument(q.key)
	}
	return line
}

// planPage is what the page shows.
type planPage struct {
	query query
	*controlv1.PlanAdoptionResponse
	// ready is how many matches have no doubts and are not left out.
	ready uint64
}

func show(v *web.Visit) (view.Page, error) {
	q := parse(v.URL.Query())
	answer, err := v.Control.PlanAdoption(v.Context(), connect.NewRequest(q.request()))
	if err != nil {
		return view.Page{}, err
	}
	l := planPage{query: q, PlanAdoptionResponse: answer.Msg, ready: answer.Msg.GetCertain()}
	if len(q.out) > 0 && l.ready > 0 {
		// A product that is left out may be doubtful by now, or adopted.
		all, err := readPlan(v, &controlv1.PlanAdoptionRequest{MetadataKey: q.key, Certain: true})
		if err != nil {
			return view.Page{}, err
		}
		l.ready = uint64(len(q.certainEntries(all)))
	}
	return view.Page{
		Title:   "Adoption",
		Section: "/adoption",
		Body:    page(l),
		Command: q.command(),
		// No event tells that the plan is too old.
		Live: live.Status + "," + live.Activity + "," + view.Slowly,
	}, nil
}

// next returns the address of the next page, empty if there is none.
func (q query) next(p *controlv1.PlanAdoptionResponse) string {
	if p.GetNext() == "" {
		return ""
	}
	return q.at(p.GetNext()).path("/adoption")
}

// first returns the address of the first page, empty if this is it.
func (q query) first() string {
	if q.after == "" {
		return ""
	}
	return q.at("").path("/adoption")
}

// at returns the query for the page that begins after a product.
func (q query) at(after string) query {
	q.after = after
	return q
}

// maxRestarts is how often the plan may change while it is read.
const maxRestarts = 5

// readPlan reads the whole plan, page by page. It begins again if another plan is made meanwhile: a match could be
// missing between two pages.
func readPlan(v *web.Visit, request *controlv1.PlanAdoptionRequest) (*controlv1.PlanAdoptionResponse, error) {
	request = proto.CloneOf(request)
	request.Limit, request.After = maxEntries, ""
	var all *controlv1.PlanAdoptionResponse
	for restarts := 0; ; {
		answer, err := v.Control.PlanAdoption(v.Context(), connect.NewRequest(request))
		switch {
		case err != nil:
			return nil, err
		case answer.Msg.GetUnknown() != "":
			return answer.Msg, nil
		case request.GetAfter() == "":
			all = answer.Msg
		case !answer.Msg.GetPlannedAt().AsTime().Equal(all.GetPlannedAt().AsTime()):
			if restarts++; restarts > maxRestarts {
				return nil, connect.NewError(connect.CodeUnavailable, errMovingPlan)
			}
			request.After = ""
			continue
		default:
			all.Matches = append(all.Matches, answer.Msg.GetMatches()...)
		}
		if request.After = answer.Msg.GetNext(); request.GetAfter() == "" {
			all.Next = ""
			return all, nil
		}
	}
}
