package drift

import (
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/console/internal/view"
	"github.com/driftless-sync/driftless/services/internal/auth"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/visible"
)

// nothing says what it means that the page has no difference.
func nothing(q query, e *controlv1.Equality) (title, text string) {
	switch {
	case q.after != "":
		return "No more drift", "This is the end of the list. It begins on the first page."
	case !view.IsKnown(e):
		return "No drift is known", "It is not known whether there is any now: see above."
	case q.kind != "" || q.state != "":
		return "No such drift", "There may be drift of other kinds and in other states."
	}
	return "No drift", "No difference is older than the grace period."
}

// kindTitle returns the heading of a kind of drift.
func kindTitle(kind string) string {
	for _, k := range catalog.Kinds() {
		if string(k.Kind) == kind {
			return k.Title
		}
	}
	return visible.Words(kind)
}

// causes say who caused a difference.
var causes = map[string]string{
	"dashboard": "somebody at Stripe's dashboard",
	"api_key":   "another program",
	"unknown":   "it is not known who",
}

func causeTitle(cause string) string {
	if title, ok := causes[cause]; ok {
		return title
	}
	return visible.Words(cause)
}

// states have a title and a tone for each state of drift.
var states = map[string]struct{ title, tone string }{
	"found":     {"found", "bad"},
	"repairing": {"being repaired", "busy"},
	"waiting":   {"waits for a decision", "held"},
	"ignored":   {"left alone", ""},
}

func stateTitle(state string) string {
	if s, ok := states[state]; ok {
		return s.title
	}
	return state
}

func stateTone(state string) string { return states[state].tone }

// choice is a filter of the page, with the number of differences that it shows.
type choice struct {
	title   string
	query   query
	count   uint64
	current bool
}

// choices returns the filters by state, or by kind. Counts are those of the whole ledger.
func choices(q query, counts []*controlv1.DriftCount) (byState, byKind []choice) {
	state, kind := map[string]uint64{}, map[string]uint64{}
	var open uint64
	for _, c := range counts {
		state[c.GetState()] += c.GetCount()
		if c.GetState() != "ignored" {
			open += c.GetCount()
			kind[c.GetKind()] += c.GetCount()
		}
	}
	byState = []choice{{title: "Open", query: query{kind: q.kind}, count: open, current: q.state == ""}}
	for _, name := range []string{"waiting", "found", "repairing", "ignored"} {
		if state[name] > 0 || q.state == name {
			byState = append(byState,
				choice{stateTitle(name), query{kind: q.kind, state: name}, state[name], q.state == name})
		}
	}
	byKind = []choice{{title: "Every kind", query: query{state: q.state}, count: open, current: q.kind == ""}}
	for _, name := range catalog.KindNames() {
		if kind[name] > 0 || q.kind == name {
			byKind = append(byKind,
				choice{kindTitle(name), query{kind: name, state: q.state}, kind[name], q.kind == name})
		}
	}
	return byState, byKind
}

// decisions are what a visitor can do with the selected differences.
var decisions = []view.Action{
	{
		Label: "Keep the catalog", Path: "/drift/keep-catalog", Role: auth.Operate,
		Effect:  "The catalog's values go to Stripe. A product that only Stripe has is archived.",
		Command: "driftless drift resolve PRODUCT --keep catalog",
	},
	{
		Label: "Keep Stripe", Path: "/drift/keep-stripe", Role: auth.Operate,
		Effect:  "Stripe's values go to your tables. A product that only Stripe has is imported.",
		Command: "driftless drift resolve PRODUCT --keep stripe",
	},
	{
		Label: "Leave alone", Path: "/drift/ignore", Role: auth.Operate,
		Effect:  "Nothing is done until one of the values changes.",
		Command: "driftless drift ignore PRODUCT",
	},
}
