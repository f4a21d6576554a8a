package ledger

import (
	"cmp"
	"context"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

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
// counts are exact, unless a search is wide. Those of a wide one may be minimums.
func (l *Ledger) CountFacets(ctx context.Context, f ProductFilter) (out FacetCounts, err error) {
	s, err := l.countable(ctx, f)
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

// CountProducts counts the products that a filter selects. The count is exact, so that of a wide search takes long.
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

// countWide counts the products of a wide search.
func (l *Ledger) countWide(ctx context.Context, s selection) (Count, error) {
	others := s.ProductFilter
	if others.Search = ""; reflect.ValueOf(others).IsZero() {
		return Count{N: uint64(len(s.text.ids)), IsMinimum: true}, nil
	}
	counts, err := l.countFacets(ctx, s)
	if err != nil {
		return Count{}, err
	}
	return counts.total(), nil
}

// facetRows are counts as Postgres returns them.
type facetRows struct {
	// counts are those of notable products, by facet and value. rest are those of the others by kind: they are in sync.
	counts map[facet]map[string]uint64
	rest   map[string]uint64
	// notable and others are the numbers of both.
	notable, others Count
	// maxNotable is up to how many notable products are counted. 0 means all.
	maxNotable uint64
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
	rest := s.rest(l.account)
	restArgs := s.args
	notable := s.notable(l.account)
	if s.text.isWide {
		out.maxNotable = maxFound
	}
	read := l.readFacets
	if rest == "" {
		return out, read(ctx, out, notable, s.args)
	}
	if !s.text.isWide {
		// Both have the arguments of the filter. One statement sees one state of the ledger.
		return out, read(ctx, out, notable+` UNION ALL `+rest, s.args)
	}
	// The minimums of a wide search take the longer of both.
	out.others.IsMinimum = true
	others := &facetRows{rest: out.rest}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return read(ctx, out, notable, s.args) })
	group.Go(func() error { return read(ctx, others, rest, restArgs) })
	if err := group.Wait(); err != nil {
		return nil, err
	}
	out.others.N = others.others.N
	return out, nil
}

// readFacets reads counts by facet.
func (l *Ledger) readFacets(ctx context.Context, out *facetRows, statement string, args []any) error {
	rows, err := l.pool.Query(ctx, statement, append([]any{perQuery}, args...)...)
	if err != nil {
		return fmt.Errorf("count products: %w", err)
	}
	var name, value string
	var n int64
	if _, err := pgx.ForEachRow(rows, []any{&name, &value, &n}, func() error {
		switch name {
		case "notable":
			out.notable = Count{uint64(n), out.maxNotable > 0 && uint64(n) > out.maxNotable}
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
		return fmt.Errorf("count products: %w", err)
	}
	return nil
}

// notable returns the statement that counts notable products by facet, and sets its arguments. If the search is wide,
// it counts up to maxFound.
func (s *selection) notable(account string) string {
	where, limit := s.conditions(account), ``
	if s.text.isWide {
		limit = ` LIMIT ` + strconv.Itoa(maxFound+1)
	}
	return `WITH n AS MATERIALIZED (
			SELECT state, kind, no_active_price, drift_kinds, causes, dead_reasons, held_by
			FROM driftless_ledger.listed_product l WHERE ` + where + ` AND l.is_notable` + limit + `)
		SELECT 'notable', '', count(*) FROM n
		UNION ALL SELECT 'state', state, count(*) FROM n GROUP BY state
		UNION ALL SELECT 'kind', kind, count(*) FROM n GROUP BY kind
		UNION ALL SELECT 'drift_kind', v, count(*) FROM n, unnest(drift_kinds) v GROUP BY v
		UNION ALL SELECT 'cause', v, count(*) FROM n, unnest(causes) v GROUP BY v
		UNION ALL SELECT 'dead_reason', v, count(*) FROM n, unnest(dead_reasons) v GROUP BY v
		UNION ALL SELECT 'rule', v, count(*) FROM n, unnest(held_by) v GROUP BY v
		UNION ALL SELECT 'no_active_price', 'true', count(*) FROM n WHERE no_active_price`
}

// rest returns the statement that counts the products that are not notable by kind, and sets its arguments. It is empty
// if the filter selects none of them. If the search is wide, it counts those among the products that were found.
func (s *selection) rest(account string) string {
	if s.isNotable() {
		return ""
	}
	from, where := `driftless_ledger.listed_product l`, s.conditions(account)
	if s.text.isWide {
		s.args = []any{account}
		where = s.restrictions()
		// OFFSET makes Postgres look the products up one by one. It would read the whole table otherwise.
		from = `unnest(` + s.arg(s.text.ids) + `::text[]) x(id), LATERAL (
			SELECT account, product_id, state, kind, is_notable, no_active_price, drift_kinds, causes, dead_reasons, held_by
			FROM driftless_ledger.listed_product p WHERE p.account = $1 AND p.product_id = x.id COLLATE "C" OFFSET 0) l`
	}
	return `SELECT 'rest', l.kind, count(*) FROM ` + from + ` WHERE ` + where + ` AND NOT l.is_notable GROUP BY l.kind`
}
