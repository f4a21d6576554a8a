package products

import (
	"slices"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/console/internal/view"
	"github.com/driftless-sync/driftless/services/internal/visible"
)

// facet is a property by whose values products can be restricted.
type facet struct {
	title   string
	options []option
}

// option is one value of a facet.
type option struct {
	label, count, path string
	chosen             bool
}

// facetParams are the titles and parameters of the API's facets.
var facetParams = map[string]struct{ title, param string }{
	"state":           {"State", paramState},
	"kind":            {"Where it is", paramKind},
	"drift_kind":      {"Difference", paramDrift},
	"cause":           {"Changed by", paramCause},
	"dead_reason":     {"Refused because", paramDead},
	"rule":            {"Held by the rule", paramRule},
	"no_active_price": {"Prices", paramPrice},
}

// facets returns the facets with counts, each value as a link. Chosen values are there even if no product has them.
// known reports whether the counts are those of now.
func facets(q query, counted *controlv1.CountProductsResponse, known bool) []facet {
	var out []facet
	for _, f := range counted.GetFacets() {
		about, ok := facetParams[f.GetName()]
		if !ok {
			continue
		}
		next := facet{title: about.title}
		chosen := q.values[about.param]
		seen := map[string]bool{}
		for _, v := range f.GetValues() {
			seen[v.GetValue()] = true
			next.options = append(next.options, option{
				label:  labelWhen(known, f.GetName(), v.GetValue()),
				count:  atLeast(v.GetCount(), v.GetIsMinimum()),
				path:   q.toggle(about.param, v.GetValue()).path(),
				chosen: slices.Contains(chosen, v.GetValue()),
			})
		}
		for _, value := range chosen {
			if !seen[value] {
				next.options = append(next.options, option{
					label: labelWhen(known, f.GetName(), value), count: "0",
					path: q.toggle(about.param, value).path(), chosen: true,
				})
			}
		}
		if len(next.options) > 0 {
			out = append(out, next)
		}
	}
	return out
}

// atLeast returns a count in words: at least 10,001 is "10,000+".
func atLeast(n uint64, minimum bool) string {
	if minimum && n >= 1000 {
		n -= n % 1000
	}
	if minimum {
		return view.Count(n) + "+"
	}
	return view.Count(n)
}

// labels are the words for values that are not clear by themselves.
var labels = map[string]string{
	"state in_sync":        "equal",
	"state dead":           "refused",
	"state orphan":         "only in Stripe",
	"kind catalog":         "in the catalog",
	"kind left":            "left the catalog",
	"kind extra":           "only in Stripe",
	"cause dashboard":      "Stripe's dashboard",
	"cause api_key":        "another program",
	"cause unknown":        "not known",
	"no_active_price true": "no active price",

	"drift_kind missing":         "missing in Stripe",
	"drift_kind extra":           "only in Stripe",
	"drift_kind field":           "another value",
	"drift_kind price_structure": "another amount or interval",
	"drift_kind default_price":   "another default price",
}

// label returns a value of a facet in words.
func label(facet, value string) string {
	if words, ok := labels[facet+" "+value]; ok {
		return words
	}
	return visible.Words(value)
}

// labelWhen returns a value of a facet in words. What is not known to be equal now was equal.
func labelWhen(known bool, facet, value string) string {
	if !known && facet == "state" && value == "in_sync" {
		return "was equal"
	}
	return label(facet, value)
}

// stateOf returns the name and the tone of a product's state. known reports whether it is that of now.
func stateOf(s controlv1.ProductState, known bool) (name, tone string) {
	for value, state := range stateNames {
		if state == s {
			name = value
		}
	}
	tone = map[string]string{
		"in_sync": "good", "pending": "busy", "held": "held", "drifted": "bad", "dead": "bad",
	}[name]
	if !known && tone == "good" {
		tone = ""
	}
	return labelWhen(known, "state", name), tone
}

// reasons say in a few words why a product is not equal.
func reasons(r *controlv1.ProductRow) []string {
	var out []string
	for _, x := range r.GetDeadReasons() {
		out = append(out, label("dead_reason", x))
	}
	for _, x := range r.GetRules() {
		out = append(out, "rule "+x)
	}
	for _, x := range r.GetDriftKinds() {
		out = append(out, label("drift_kind", x))
	}
	for _, x := range r.GetCauses() {
		if x != "unknown" {
			out = append(out, "by "+label("cause", x))
		}
	}
	if r.GetNoActivePrice() {
		out = append(out, "no active price")
	}
	return out
}
