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

// maxCounted is how many products of a wide search are counted: of those that are notable, and of the others.
const maxCounted = 20_000

// FacetCounts are the numbers of products that a filter selects.
type FacetCounts struct {
	Total  Count
	Facets []FacetCount
}

// Count is a number of products. IsMinimum reports that there are at least so many.
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

// CountFacets counts the products that a filter selects, by each facet without the filter's own restriction of it. The
// counts are exact, unless a search matches more than maxFound products.
func (l *Ledger) CountFacets(ctx context.Context, f ProductFilter) (out FacetCounts, err error) {
	s, err := l.selection(ctx, f)
	if err != nil {
		return out, err
	}
	all, err := l.countFacets(ctx, s)
	if err != nil {
		return out, err
	}
	out.Total = all.total()
	for _, of := range facets {
		counts := all
		if f.restricts(of) {
			free := s
			free.ProductFilter = s.without(of)
			if counts, err = l.countFacets(ctx, free); err != nil {
				return out, err
			}
		}
		out.Facets = append(out.Facets, FacetCount{Facet: string(of), Values: counts.values(of)})
	}
	return out, nil
}

// CountProducts counts the products that a filter selects, as CountFacets does.
func (l *Ledger) CountProducts(ctx context.Context, f ProductFilter) (Count, error) {
	s, err := l.selection(ctx, f)
	if err != nil {
		return Count{}, err
	}
	statement := `SELECT count(*) FROM (SELECT FROM driftless_ledger.listed_product l WHERE ` +
		s.conditions(l.account) + s.limit() + `) l`
	var n int64
	if err := l.pool.QueryRow(ctx, statement, append([]any{perQuery}, s.args...)...).Scan(&n); err != nil {
		return Count{}, fmt.Errorf("count products: %w", err)
	}
	return Count{N: uint64(n), IsMinimum: s.text.isWide && n > maxCounted}, nil
}

// limit bounds what is read of a wide search.
func (s *selection) limit() string {
	if !s.text.isWide {
		return ""
	}
	return ` LIMIT ` + strconv.Itoa(maxCounted+1)
}

// facetRows are counts as Postgres returns them.
type facetRows struct {
	// counts are those of notable products, by facet and value. rest are those of the others by kind: they are in sync.
	counts map[facet]map[string]uint64
	rest   map[string]uint64
	// notable and others are the numbers of both.
	notable, others Count
}

func (r *facetRows) total() Count {
	return Count{N: r.notable.N + r.others.N, IsMinimum: r.notable.IsMinimum || r.others.IsMinimum}
}

// values returns the counts of a facet.
func (r *facetRows) values(of facet) []ValueCount {
	byValue := map[string]Count{}
	add := func(value string, n uint64, isMinimum bool) {
		if n > 0 {
			byValue[value] = Count{byValue[value].N + n, byValue[value].IsMinimum || isMinimum}
		}
	}
	for value, n := range r.counts[of] {
		add(value, n, r.notable.IsMinimum)
	}
	if of == byState {
		add(string(InSync), r.others.N, r.others.IsMinimum)
	}
	if of == byKind {
		for kind, n := range r.rest {
			add(kind, n, r.others.IsMinimum)
		}
	}
	out := []ValueCount{}
	for value, count := range byValue {
		out = append(out, ValueCount{Value: value, Count: count})
	}
	slices.SortFunc(out, func(a, b ValueCount) int {
		return cmp.Or(cmp.Compare(b.N, a.N), strings.Compare(a.Value, b.Value))
	})
	return out
}

// countFacets counts by all facets at once. Notable products are few at most times, and the others only have a kind.
func (l *Ledger) countFacets(ctx context.Context, s selection) (*facetRows, error) {
	where := s.conditions(l.account)
	rest := where + ` AND NOT l.is_notable`
	if s.isNotable() {
		rest = `false`
	}
	rows, err := l.pool.Query(ctx, `WITH n AS MATERIALIZED (
			SELECT state, kind, no_active_price, drift_kinds, causes, dead_reasons, held_by
			FROM driftless_ledger.listed_product l WHERE `+where+` AND l.is_notable`+s.limit()+`)
		SELECT 'notable', '', count(*) FROM n
		UNION ALL SELECT 'rest', kind, count(*) FROM (
			SELECT kind FROM driftless_ledger.listed_product l WHERE `+rest+s.limit()+`) r GROUP BY kind
		UNION ALL SELECT 'state', state, count(*) FROM n GROUP BY state
		UNION ALL SELECT 'kind', kind, count(*) FROM n GROUP BY kind
		UNION ALL SELECT 'drift_kind', v, count(*) FROM n, unnest(drift_kinds) v GROUP BY v
		UNION ALL SELECT 'cause', v, count(*) FROM n, unnest(causes) v GROUP BY v
		UNION ALL SELECT 'dead_reason', v, count(*) FROM n, unnest(dead_reasons) v GROUP BY v
		UNION ALL SELECT 'rule', v, count(*) FROM n, unnest(held_by) v GROUP BY v
		UNION ALL SELECT 'no_active_price', 'true', count(*) FROM n WHERE no_active_price`,
		append([]any{perQuery}, s.args...)...)
	if err != nil {
		return nil, fmt.Errorf("count products: %w", err)
	}
	out := &facetRows{counts: map[facet]map[string]uint64{}, rest: map[string]uint64{}}
	var name, value string
	var n int64
	if _, err := pgx.ForEachRow(rows, []any{&name, &value, &n}, func() error {
		switch name {
		case "notable":
			out.notable = Count{uint64(n), s.text.isWide && n > maxCounted}
		case "rest":
			out.rest[value] = uint64(n)
			out.others.N += uint64(n)
		default:
			if out.counts[facet(name)] == nil {
				out.counts[facet(name)] = map[string]uint64{}
			}
			out.counts[facet(name)][value] = uint64(n)
		}
		return nil
	}); err != nil {
		return nil, fmt.Errorf("count products: %w", err)
	}
	out.others.IsMinimum = s.text.isWide && out.others.N > maxCounted
	return out, nil
}
