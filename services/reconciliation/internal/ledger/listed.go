package ledger

import (
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// ProductFilter selects products: those that match every field that is set. A list matches if one of its values does.
// The zero value selects all.
type ProductFilter struct {
	// Search has words that the texts of a product have, each from the beginning of a word.
	Search   string
	Products []string
	States   []State
	// Kinds are those of ListFilter.
	Kinds []string
	// DriftKinds and Causes are about open drift that nobody ignored.
	DriftKinds, Causes []string
	// DeadReasons are reasons of open dead letters.
	DeadReasons []string
	// Rules are rules of the guard that hold the product, or "check" for every check.
	Rules []string
	// NoActivePrice selects active products without an active price.
	NoActivePrice bool
	// Has is what products must have as well.
	Has Trait
}

// Trait is something that can be decided about a product.
type Trait string

// The traits: open drift that nobody ignored, open dead letters, and a change that the guard holds.
const (
	HasDrift  Trait = "drift"
	HasLetter Trait = "dead letter"
	HasHold   Trait = "hold"
)

// traitConditions are the traits in SQL. A product with one of them is notable.
var traitConditions = map[Trait]string{
	HasDrift:  `l.drift_kinds <> '{}'`,
	HasLetter: `l.dead_reasons <> '{}'`,
	HasHold:   `l.state = ` + sqlList(Held),
}

// selection is a filter as conditions in SQL on the table listed_product l, with their arguments.
type selection struct {
	ProductFilter

	text textMatch
	args []any
}

// perQuery makes Postgres plan a statement for its arguments: filters select one product or all of them.
const perQuery = pgx.QueryExecModeCacheDescribe

// arg adds an argument, and returns its name.
func (s *selection) arg(v any) string {
	s.args = append(s.args, v)
	return "$" + strconv.Itoa(len(s.args))
}

// A facet is a part of a filter that is counted by its values.
type facet string

// The facets, in the order of an answer.
const (
	byState         facet = "state"
	byKind          facet = "kind"
	byDriftKind     facet = "drift_kind"
	byCause         facet = "cause"
	byDeadReason    facet = "dead_reason"
	byRule          facet = "rule"
	byNoActivePrice facet = "no_active_price"
)

var facets = []facet{byState, byKind, byDriftKind, byCause, byDeadReason, byRule, byNoActivePrice}

// restricts reports whether the filter has a restriction of a facet.
func (f *ProductFilter) restricts(of facet) bool {
	return map[facet]int{
		byState: len(f.States), byKind: len(f.Kinds), byDriftKind: len(f.DriftKinds), byCause: len(f.Causes),
		byDeadReason: len(f.DeadReasons), byRule: len(f.Rules),
	}[of] > 0 || of == byNoActivePrice && f.NoActivePrice
}

// without returns the filter without the restriction of a facet.
func (f *ProductFilter) without(of facet) ProductFilter {
	out := *f
	switch of {
	case byState:
		out.States = nil
	case byKind:
		out.Kinds = nil
	case byDriftKind:
		out.DriftKinds = nil
	case byCause:
		out.Causes = nil
	case byDeadReason:
		out.DeadReasons = nil
	case byRule:
		out.Rules = nil
	case byNoActivePrice:
		out.NoActivePrice = false
	}
	return out
}

// isNotable reports whether the filter selects only notable products, which have an index of their own.
func (f *ProductFilter) isNotable() bool {
	return len(f.DriftKinds)+len(f.Causes)+len(f.DeadReasons)+len(f.Rules) > 0 || f.NoActivePrice || f.Has != "" ||
		len(f.States) > 0 && !slices.Contains(f.States, InSync)
}

// conditions returns the conditions on listed_product l, and sets the arguments.
func (s *selection) conditions(account string) string {
	s.args = []any{account}
	out := s.restrictions()
	switch {
	case s.Search == "":
	case s.text.isExact:
		out += ` AND EXISTS (SELECT FROM driftless_ledger.product_text t
			WHERE t.account = l.account AND t.product_id = l.product_id` + s.found() + `)`
	case s.text.isWide:
		out += ` AND ` + s.compared()
	default:
		out += ` AND l.product_id = ANY(` + s.arg(append([]string{}, s.text.ids...)) + `)`
	}
	return out
}

// restrictions returns the conditions without those of the search.
func (s *selection) restrictions() string {
	var out strings.Builder
	out.WriteString(`l.account = $1`)
	add := func(set int, before string, list any, after string) {
		if set > 0 {
			out.WriteString(` AND ` + before + s.arg(list) + after)
		}
	}
	add(len(s.Products), `l.product_id = ANY(`, s.Products, `)`)
	add(len(s.States), `l.state = ANY(`, textsOf(s.States), `)`)
	add(len(s.Kinds), `l.kind = ANY(`, s.Kinds, `)`)
	add(len(s.DriftKinds), `l.drift_kinds && `, s.DriftKinds, `::text[]`)
	add(len(s.Causes), `l.causes && `, s.Causes, `::text[]`)
	add(len(s.DeadReasons), `l.dead_reasons && `, s.DeadReasons, `::text[]`)
	if len(s.Rules) > 0 {
		rules := s.arg(s.Rules)
		out.WriteString(` AND (l.held_by && ` + rules + `::text[]
			OR EXISTS (SELECT FROM unnest(l.held_by) r WHERE split_part(r, ':', 1) = ANY(` + rules + `)))`)
	}
	if s.NoActivePrice {
		out.WriteString(` AND l.no_active_price`)
	}
	if s.Has != "" {
		out.WriteString(` AND ` + traitConditions[s.Has])
	}
	if s.isNotable() {
		out.WriteString(` AND l.is_notable`)
	}
	return out.String()
}

func textsOf[S ~string](list []S) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = string(s)
	}
	return out
}
