package ledger

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

// restrictsMore reports whether the filter has more than a search.
func (f *ProductFilter) restrictsMore() bool {
	others := *f
	others.Search = ""
	return !reflect.ValueOf(others).IsZero()
}

// countWide counts the products of a wide search.
func (l *Ledger) countWide(ctx context.Context, s selection) (Count, error) {
	if !s.restrictsMore() {
		return Count{N: uint64(len(s.text.ids)), IsMinimum: true}, nil
	}
	counts, err := l.countFacets(ctx, s)
	if err != nil {
		return Count{}, err
	}
	return counts.total(), nil
}

// countWideFacets counts the products of a wide search by all facets. It counts notable products up to the limit of a
// search, and the others among those that were found.
func (l *Ledger) countWideFacets(ctx context.Context, s selection, out *facetRows) error {
	limit := l.search.limit()
	notable := notableCounts(s.conditions(l.account), limit)
	args := s.args
	var known bool
	var kinds map[string]string
	group, both := errgroup.WithContext(ctx)
	group.Go(func() error { return l.readFacets(both, out, notable, args) })
	if !s.restrictsMore() {
		group.Go(func() (err error) {
			kinds, known, err = l.unusual(both, limit)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	out.notable.IsMinimum = out.notable.N > uint64(limit)
	out.others.IsMinimum = !s.isNotable()
	switch {
	case s.isNotable():
		return nil
	case known && !out.notable.IsMinimum:
		out.addOthers(s.text.ids, kinds)
		return nil
	}
	statement := s.foundRestCounts(l.account)
	return l.readFacets(ctx, out, statement, s.args)
}

// unusual returns the kinds of the products that are in sync and not in the catalog, at most limit. They are few at
// most times, so that the products of a search need not be looked up one by one. It reports whether these are all.
func (l *Ledger) unusual(ctx context.Context, limit int) (kinds map[string]string, all bool, err error) {
	unusual := slices.DeleteFunc(slices.Clone(Kinds), func(kind string) bool { return kind == kindCatalog })
	rows, err := l.pool.Query(ctx, `SELECT product_id, kind FROM driftless_ledger.listed_product
		WHERE account = $1 AND NOT is_notable AND kind = ANY($2) LIMIT `+strconv.Itoa(limit+1), perQuery, l.account,
		unusual)
	if err != nil {
		return nil, false, fmt.Errorf("count products: %w", err)
	}
	kinds = map[string]string{}
	var id, kind string
	if _, err := pgx.ForEachRow(rows, []any{&id, &kind}, func() error { kinds[id] = kind; return nil }); err != nil {
		return nil, false, fmt.Errorf("count products: %w", err)
	}
	return kinds, len(kinds) <= limit, nil
}

// addOthers adds the products of a search that are not notable. Those without a kind in kinds are in the catalog.
func (r *facetRows) addOthers(found []string, kinds map[string]string) {
	notable := make(map[string]bool, len(r.ids))
	for _, id := range r.ids {
		notable[id] = true
	}
	for _, id := range found {
		if notable[id] {
			continue
		}
		kind, ok := kinds[id]
		if !ok {
			kind = kindCatalog
		}
		r.rest[kind]++
		r.others.N++
	}
}
