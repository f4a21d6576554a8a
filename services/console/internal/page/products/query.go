package products

import (
	"net/url"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/internal/visible"
)

// Parameters of the page's address. A list has its values under one name, several times.
const (
	paramSearch = "q"
	paramState  = "state"
	paramKind   = "kind"
	paramDrift  = "drift"
	paramCause  = "cause"
	paramDead   = "dead"
	paramRule   = "rule"
	paramPrice  = "no_active_price"
	paramSort   = "sort"
	paramCursor = "cursor"
)

// filterParams are the parameters that select products.
var filterParams = []string{
	paramSearch, paramState, paramKind, paramDrift, paramCause, paramDead, paramRule, paramPrice,
}

// stateNames are the states by their names in addresses, which are those of the facets.
var stateNames = map[string]controlv1.ProductState{
	"in_sync": controlv1.ProductState_PRODUCT_STATE_IN_SYNC,
	"pending": controlv1.ProductState_PRODUCT_STATE_PENDING,
	"held":    controlv1.ProductState_PRODUCT_STATE_HELD,
	"drifted": controlv1.ProductState_PRODUCT_STATE_DRIFTED,
	"dead":    controlv1.ProductState_PRODUCT_STATE_DEAD,
	"orphan":  controlv1.ProductState_PRODUCT_STATE_ORPHAN,
}

// order is an order of the list.
type order struct {
	name, title string
	sort        controlv1.ProductSort
	descending  bool
}

// orders are the orders of the list, the default first.
var orders = []order{
	{"", "Id", controlv1.ProductSort_PRODUCT_SORT_ID, false},
	{"name", "Name", controlv1.ProductSort_PRODUCT_SORT_NAME, false},
	{"differs", "Differs longest", controlv1.ProductSort_PRODUCT_SORT_DIFFERS_SINCE, false},
	{"changed", "Changed last", controlv1.ProductSort_PRODUCT_SORT_CHANGED_AT, true},
}

// query is what the page's address says.
type query struct{ values url.Values }

// parse reads an address. It keeps what the page knows only.
func parse(values url.Values) query {
	kept := url.Values{}
	for _, name := range slices.Concat(filterParams, []string{paramSort, paramCursor}) {
		for _, v := range values[name] {
			if v = strings.TrimSpace(v); v != "" && !slices.Contains(kept[name], v) {
				kept[name] = append(kept[name], v)
			}
		}
	}
	return query{kept}
}

// filter returns the filter of the API.
func (q query) filter() *controlv1.ProductFilter {
	f := &controlv1.ProductFilter{
		Search:        q.values.Get(paramSearch),
		Kinds:         q.values[paramKind],
		DriftKinds:    q.values[paramDrift],
		Causes:        q.values[paramCause],
		DeadReasons:   q.values[paramDead],
		Rules:         q.values[paramRule],
		NoActivePrice: q.values.Get(paramPrice) != "",
	}
	for _, name := range q.values[paramState] {
		// A state that does not exist must not select everything.
		f.States = append(f.States, stateNames[name])
	}
	return f
}

// isEmpty reports whether every product is selected.
func (q query) isEmpty() bool { return proto.Equal(q.filter(), &controlv1.ProductFilter{}) }

// order returns the order of the list.
func (q query) order() order {
	for _, o := range orders {
		if o.name == q.values.Get(paramSort) {
			return o
		}
	}
	return orders[0]
}

// path returns the page's address.
func (q query) path() string {
	if len(q.values) == 0 {
		return "/products"
	}
	return "/products?" + q.values.Encode()
}

// with returns the address with another value of a parameter, on the first page. An empty value has none.
func (q query) with(name, value string) query {
	out := url.Values{}
	for k, v := range q.values {
		if k != paramCursor || name == paramCursor {
			out[k] = slices.Clone(v)
		}
	}
	out.Del(name)
	if value != "" {
		out.Set(name, value)
	}
	return query{out}
}

// toggle returns the address with a value of a parameter added, or removed if it is there.
func (q query) toggle(name, value string) query {
	had := q.values[name]
	out := q.with(name, "")
	for _, v := range had {
		if v != value {
			out.values.Add(name, v)
		}
	}
	if !slices.Contains(had, value) {
		out.values.Add(name, value)
	}
	return out
}

// command returns the command that lists the same products in the same order.
func (q query) command() string {
	f := q.filter()
	line := "driftless products"
	add := func(flag string, values ...string) {
		if len(values) > 0 && values[0] != "" {
			line += " --" + flag + " " + visible.Argument(strings.Join(values, ","))
		}
	}
	var states []string
	for _, s := range q.values[paramState] {
		// The command line calls products that only Stripe has extra.
		states = append(states, strings.ReplaceAll(s, "orphan", "extra"))
	}
	kinds := f.GetKinds()
	// The command line leaves out what left the catalog, unless it is told what to look for.
	if len(kinds)+len(states)+len(f.GetDriftKinds())+len(f.GetCauses())+len(f.GetDeadReasons())+len(f.GetRules()) == 0 {
		kinds = []string{"catalog", "extra", "left"}
	}
	add("state", states...)
	add("kind", kinds...)
	add("words", f.GetSearch())
	add("drift-kind", f.GetDriftKinds()...)
	add("cause", f.GetCauses()...)
	add("dead-reason", f.GetDeadReasons()...)
	add("rule", f.GetRules()...)
	if f.GetNoActivePrice() {
		line += " --no-active-price"
	}
	o := q.order()
	add("sort", o.name)
	if o.descending {
		line += " --descending"
	}
	return line
}

// savedView is a named address.
type savedView struct{ name, path string }

// savedViews are the views that the menu offers.
var savedViews = []savedView{
	{"All products", "/products"},
	{"Longest different", "/products?sort=differs&state=pending&state=drifted&state=dead&state=held"},
	{"Refused", "/products?state=dead"},
	{"Held by the guard", "/products?state=held"},
	{"Changed at Stripe's dashboard", "/products?cause=dashboard"},
	{"Changed by another program", "/products?cause=api_key"},
	{"No active price", "/products?no_active_price=true"},
	{"Changed last", "/products?sort=changed"},
	{"Only in Stripe", "/products?kind=extra"},
}

// isCurrent reports whether the page shows a view.
func (v savedView) isCurrent(q query) bool {
	return parse(valuesOf(v.path)).path() == q.with(paramCursor, "").path()
}

func valuesOf(path string) url.Values {
	u, err := url.Parse(path)
	if err != nil {
		return nil
	}
	return u.Query()
}
