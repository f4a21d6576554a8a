package ledger

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// FacetCounts has the number of products that a filter selects, in all and by facet.
type FacetCounts struct {
	Total  Count
	Facets []FacetCount
}

// Count is a number of products. IsMinimum reports whether N is a lower bound.
type Count struct {
	N         uint64
	IsMinimum bool
}

// FacetCount has the numbers of products by the values of a facet, largest first.
type FacetCount struct {
	Facet  string
	Values []ValueCount
}

// ValueCount is the number of products with a value.
type ValueCount struct {
	Count

	Value string
}

// CountFacets counts the products that a filter selects. Each facet is counted as if the filter did not restrict it.
// The counts are exact, unless a search is wide. Those of a wide one may be minimums.
//
// Each facet that the filter restricts, and each part of a wide search, is counted by a statement of its own. While the
// ledger changes, they may be of states that are a moment apart.
func (l *Ledger) CountFacets(ctx context.Context, f ProductFilter) (FacetCounts, error) {
	s, err := l.countable(ctx, f)
	if err != nil {
		return FacetCounts{}, err
	}
	all, err := l.countFacets(ctx, s)
	if err != nil {
		return FacetCounts{}, err
	}
	counts := FacetCounts{Total: all.total()}
	for _, facet := range facets {
		rows := all
		if f.restricts(facet) {
			unrestricted := s
			unrestricted.ProductFilter = s.without(facet)
			if rows, err = l.countFacets(ctx, unrestricted); err != nil {
				return FacetCounts{}, err
			}
		}
		counts.Facets = append(counts.Facets, FacetCount{Facet: string(facet), Values: rows.values(facet)})
	}
	return counts, nil
}

// CountListed counts the products that a filter selects, as CountFacets does.
func (l *Ledger) CountListed(ctx context.Context, f ProductFilter) (Count, error) {
	s, err := l.countable(ctx, f)
	if err != nil {
		return Count{}, err
	}
	if s.text.isWide {
		return l.countWide(ctx, s)
	}
	return l.count(ctx, s)
}

// CountProducts counts the products that a filter selects. The count is exact. So counting a wide search is slow.
func (l *Ledger) CountProducts(ctx context.Context, f ProductFilter) (Count, error) {
	s, err := l.parsed(ctx, f)
	if err != nil {
		return Count{}, err
	}
	s.text.isExact = true
	return l.count(ctx, s)
}

func (l *Ledger) count(ctx context.Context, s selection) (Count, error) {
	statement := `SELECT count(*) FROM driftless_ledger.listed_product l WHERE ` + s.conditions(l.account)
	var n int64
	if err := l.pool.QueryRow(ctx, statement, append([]any{perQuery}, s.args...)...).Scan(&n); err != nil {
		return Count{}, fmt.Errorf("count products: %w", err)
	}
	return Count{N: uint64(n)}, nil
}

// facetRows are counts as Postgres returns them.
type facetRows struct {
	// counts are those of notable products, by facet and value. rest are those of the others by kind: they are in sync.
	counts map[facet]map[string]uint64
	rest   map[string]uint64
	// notable and others are the numbers of both.
	notable, others Count
	// ids are those of the notable products of a wide search, as many as were counted.
	ids []string
}

// facetGroup is a number of products that are the same in a list.
type facetGroup struct {
	IsNotable     bool
	State, Kind   string
	NoActivePrice bool
	// DriftKinds, Causes, DeadReasons and HeldBy have each value once.
	DriftKinds, Causes, DeadReasons, HeldBy []string
	N                                       int64
	IDs                                     []string
}

// add adds a group to the counts.
func (r *facetRows) add(g facetGroup) {
	n := uint64(g.N)
	if !g.IsNotable {
		r.rest[g.Kind] += n
		r.others.N += n
		return
	}
	r.notable.N += n
	r.ids = append(r.ids, g.IDs...)
	values := map[facet][]string{
		byState: {g.State}, byKind: {g.Kind}, byDriftKind: g.DriftKinds, byCause: g.Causes, byDeadReason: g.DeadReasons,
		byRule: g.HeldBy,
	}
	if g.NoActivePrice {
		values[byNoActivePrice] = []string{"true"}
	}
	for facet, list := range values {
		for _, value := range list {
			if r.counts[facet] == nil {
				r.counts[facet] = map[string]uint64{}
			}
			r.counts[facet][value] += n
		}
	}
}

func (r *facetRows) total() Count {
	return Count{N: r.notable.N + r.others.N, IsMinimum: r.notable.IsMinimum || r.others.IsMinimum}
}

// values returns the counts of a facet.
func (r *facetRows) values(of facet) []ValueCount {
	byValue := map[string]uint64{}
	for value, n := range r.counts[of] {
		byValue[value] += n
	}
	switch of { //nolint:exhaustive // the others are facets of notable products only
	case byState:
		byValue[string(InSync)] += r.others.N
	case byKind:
		for kind, n := range r.rest {
			byValue[kind] += n
		}
	}
	// isMinimum reports whether products with a value may be among those that were not counted.
	isMinimum := func(value string) bool {
		return r.notable.IsMinimum || r.others.IsMinimum && (of == byKind || of == byState && value == string(InSync))
	}
	out := []ValueCount{}
	for value, n := range byValue {
		if n > 0 {
			out = append(out, ValueCount{Value: value, Count: Count{n, isMinimum(value)}})
		}
	}
	slices.SortFunc(out, func(a, b ValueCount) int {
		return cmp.Or(cmp.Compare(b.N, a.N), strings.Compare(a.Value, b.Value))
	})
	return out
}

// countFacets counts by all facets at once. Notable products are few at most times, and the others only have a kind.
func (l *Ledger) countFacets(ctx context.Context, s selection) (*facetRows, error) {
	out := &facetRows{counts: map[facet]map[string]uint64{}, rest: map[string]uint64{}}
	if s.text.isWide {
		return out, l.countWideFacets(ctx, s, out)
	}
	where := s.conditions(l.account)
	statement := notableCounts(where, 0)
	if !s.isNotable() {
		// One statement sees one state of the ledger.
		statement += ` UNION ALL ` + restCounts(`driftless_ledger.listed_product l`, where)
	}
	return out, l.readFacets(ctx, out, statement, s.args)
}

// readFacets reads counts by facet.
func (l *Ledger) readFacets(ctx context.Context, out *facetRows, statement string, args []any) error {
	rows, err := l.pool.Query(ctx, statement, append([]any{perQuery}, args...)...)
	if err != nil {
		return fmt.Errorf("count products: %w", err)
	}
	groups, err := pgx.CollectRows(rows, pgx.RowToStructByPos[facetGroup])
	if err != nil {
		return fmt.Errorf("count products: %w", err)
	}
	for _, g := range groups {
		out.add(g)
	}
	return nil
}

// notableCounts returns the statement that counts notable products by all facets. With a limit it counts at most one
// more than that, and returns their ids.
func notableCounts(where string, limit int) string {
	end, ids := ``, `'{}'::text[]`
	if limit > 0 {
		end, ids = ` LIMIT `+strconv.Itoa(limit+1), `array_agg(product_id)`
	}
	const by = `state, kind, no_active_price, drift_kinds, causes, dead_reasons, held_by`
	return `SELECT true, ` + by + `, count(*), ` + ids + ` FROM (
			SELECT product_id, ` + by + ` FROM driftless_ledger.listed_product l
			WHERE ` + where + ` AND l.is_notable` + end + `) n GROUP BY ` + by
}

// restCounts returns the statement that counts the products that are not notable by kind.
func restCounts(from, where string) string {
	const none = `'{}'::text[]`
	return `SELECT false, ` + sqlList(InSync) + `, l.kind, false, ` + strings.Repeat(none+`, `, 4) + `count(*), ` +
		none +
		` FROM ` + from + ` WHERE ` + where + ` AND NOT l.is_notable GROUP BY l.kind`
}

// foundRestCounts is restCounts for the products that a search has found, and sets the arguments.
func (s *selection) foundRestCounts(account string) string {
	s.args = []any{account}
	where := s.restrictions()
	// OFFSET makes Postgres look the products up one by one. It would read the whole table otherwise.
	return restCounts(`unnest(`+s.arg(s.text.ids)+`::text[]) x(id), LATERAL (
			SELECT account, product_id, state, kind, is_notable, no_active_price, drift_kinds, causes, dead_reasons, held_by
			FROM driftless_ledger.listed_product p WHERE p.account = $1 AND p.product_id = x.id COLLATE "C" OFFSET 0) l`,
		where)
}
