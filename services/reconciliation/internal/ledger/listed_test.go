package ledger_test

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// plantProducts stores products in every state, as the ledger stores them: every third name and every state has
// several.
const plantProducts = `INSERT INTO driftless_ledger.product
	(account, product_id, desired_json, observed_json, state, gone, held_by, differs_since, desired_since)
SELECT a, 'Mug-' || i,
	CASE WHEN i % 7 <> 0 THEN jsonb_build_object('product', jsonb_build_object('id', 'Mug-' || i,
		'name', CASE i % 3 WHEN 0 THEN 'Chair, oak' ELSE 'Ärmel ' || i % 11 END,
		'metadata', jsonb_build_object('color', CASE i % 2 WHEN 0 THEN 'Red' ELSE 'blue' END),
		'prices', CASE WHEN i % 13 = 0 THEN '[{"id": "x", "active": false}]' ELSE jsonb_build_array(
			jsonb_build_object('id', 'price-' || i, 'lookup_key', 'Gold/' || i)) END)) END,
	CASE WHEN i % 5 <> 0 THEN jsonb_build_object('stripe_id', 'prod_Q' || i, 'product',
		jsonb_build_object('name', 'Mug in Stripe', 'active', true)) END,
	(ARRAY['in_sync', 'pending', 'drifted', 'dead', 'held', '` + string(ledger.Extra) + `'])[1 + i % 6], i % 21 = 0,
	CASE WHEN i % 6 = 4 THEN ARRAY['check: no cost', 'amount_change'] ELSE '{}' END,
	CASE WHEN i % 4 = 0 THEN '2026-01-02'::timestamptz - i % 9 * interval '1 hour' END,
	'2026-01-01'::timestamptz - i % 17 * interval '1 minute'
FROM generate_series(1, $1) i, unnest(ARRAY['default', 'other']) a`

const plantDrift = `INSERT INTO driftless_ledger.drift
	(account, product_id, kind, field, catalog_value, stripe_value, action, since, caused_by, state, settled_at)
SELECT 'default', 'Mug-' || i, x.kind, 'f-' || kind, '', '', 'repair', now(), (ARRAY['dashboard', 'api_key', 'unknown'])[1 + i % 3],
	(ARRAY['found', 'ignored', 'repaired'])[1 + i % 3], CASE WHEN i % 3 = 2 THEN now() END
FROM generate_series(1, $1, 3) i, unnest(ARRAY['name', 'amount']) x(kind) WHERE i % 2 = 0 OR kind = 'name'`

const plantLetters = `INSERT INTO driftless_ledger.dead_letter
	(id, account, product_id, service, version, letter, at, reason, closed_at)
SELECT 'letter' || i, 'default', 'Mug-' || i, 'push', 1, '', now(), (ARRAY['refused', 'invalid'])[1 + i % 2],
	CASE WHEN i % 10 = 0 THEN now() END
FROM generate_series(3, $1, 4) i`

// listedProduct is a product as a test knows it.
type listedProduct struct {
	ID, Name, State, Kind         string
	Differs                       *int64
	Changed                       int64
	Drift, Causes, Reasons, Rules []string
	NoPrice                       bool
	Lines                         string
}

// list is a ledger with planted products.
type list struct {
	*ledger.Ledger
	products []listedProduct
}

func plant(t *testing.T, n int) list {
	t.Helper()
	url := database(t)
	l := open(t, t.Context(), url, "default")
	t.Cleanup(l.Close)
	pool := localtest.Pool(t, url)
	for _, statement := range []string{plantProducts, plantDrift, plantLetters} {
		_, err := pool.Exec(t.Context(), statement, n)
		require.NoError(t, err)
	}
	rows, err := pool.Query(t.Context(), `SELECT product_id, coalesce(p.desired_json->'product'->>'name',
			p.observed_json->'product'->>'name', ''), p.state,
			CASE WHEN p.desired_json IS NOT NULL THEN 'catalog' WHEN gone THEN 'left' ELSE 'extra' END,
			(extract(epoch FROM differs_since) * 1000000)::bigint,
			(extract(epoch FROM desired_since) * 1000000)::bigint,
			ARRAY(SELECT kind FROM driftless_ledger.drift d WHERE d.account = p.account AND d.product_id = p.product_id
				AND settled_at IS NULL AND state <> 'ignored'),
			ARRAY(SELECT caused_by FROM driftless_ledger.drift d WHERE d.account = p.account AND d.product_id = p.product_id
				AND settled_at IS NULL AND state <> 'ignored'),
			ARRAY(SELECT reason FROM driftless_ledger.dead_letter d WHERE d.account = p.account
				AND d.product_id = p.product_id AND closed_at IS NULL), held_by,
			p.desired_json IS NOT NULL AND p.desired_json::text LIKE '%false%'
				OR p.desired_json IS NULL AND NOT gone AND observed_json IS NOT NULL,
			concat_ws(E'\n', product_id, p.desired_json->'product'->>'name', p.observed_json->'product'->>'name',
				'color:' || (p.desired_json->'product'->'metadata'->>'color'), p.observed_json->>'stripe_id',
				p.desired_json->'product'->'prices'->0->>'id', p.desired_json->'product'->'prices'->0->>'lookup_key')
		FROM driftless_ledger.product p WHERE account = 'default'`)
	require.NoError(t, err)
	out := list{Ledger: l}
	for rows.Next() {
		var p listedProduct
		require.NoError(t, rows.Scan(&p.ID, &p.Name, &p.State, &p.Kind, &p.Differs, &p.Changed, &p.Drift, &p.Causes,
			&p.Reasons, &p.Rules, &p.NoPrice, &p.Lines))
		out.products = append(out.products, p)
	}
	require.NoError(t, rows.Err())
	require.Len(t, out.products, n)
	return out
}

// matches reports whether a filter selects a product.
func (p listedProduct) matches(f ledger.ProductFilter) bool {
	has := func(wanted []string, values ...string) bool {
		return len(wanted) == 0 ||
			slices.ContainsFunc(values, func(v string) bool { return slices.Contains(wanted, v) })
	}
	states := []string{}
	for _, s := range f.States {
		states = append(states, string(s))
	}
	var rules []string
	for _, r := range p.Rules {
		rules = append(rules, r, strings.SplitN(r, ":", 2)[0])
	}
	for word := range strings.FieldsSeq(strings.ToLower(f.Search)) {
		if !hasWord(strings.ToLower(p.Lines), word) {
			return false
		}
	}
	return has(f.Products, p.ID) && has(states, p.State) && has(f.Kinds, p.Kind) && has(f.DriftKinds, p.Drift...) &&
		has(f.Causes, p.Causes...) && has(f.DeadReasons, p.Reasons...) && has(f.Rules, rules...) &&
		(!f.NoActivePrice || p.NoPrice)
}

// hasWord reports whether a text has another that begins at the beginning of a word.
func hasWord(text, word string) bool {
	for i := range text {
		if strings.HasPrefix(text[i:], word) && (i == 0 || strings.ContainsRune(" \n-_/:,", rune(text[i-1]))) {
			return true
		}
	}
	return false
}

func drawnFilter(t *rapid.T) ledger.ProductFilter {
	some := func(name string, values ...string) []string {
		if rapid.IntRange(0, 3).Draw(t, name+"?") > 0 {
			return nil
		}
		return rapid.SliceOfNDistinct(rapid.SampledFrom(values), 1, 2, rapid.ID[string]).Draw(t, name)
	}
	var f ledger.ProductFilter
	f.Search = rapid.SampledFrom([]string{
		"", "", "", "oak", "CHAIR oak", "ärm", "color:re", "prod_q1", "Gold/3", "mug stripe", "nothing", "blue chair",
		"a", "mug_", "mug%", `mug\`,
	}).Draw(t, "search")
	for _, s := range some("states", "in_sync", "pending", "drifted", "dead", "held", "orphan") {
		f.States = append(f.States, ledger.State(s))
	}
	f.Kinds = some("kinds", "catalog", "left", "extra")
	f.DriftKinds = some("drift kinds", "name", "amount", "none")
	f.Causes = some("causes", "dashboard", "unknown")
	f.DeadReasons = some("dead reasons", "refused", "invalid")
	f.Rules = some("rules", "check", "amount_change", "check: no cost")
	f.Products = some("products", "Mug-1", "Mug-20", "Mug-33", "Mug-none")
	f.NoActivePrice = rapid.IntRange(0, 9).Draw(t, "no active price") == 0
	return f
}

// sorted returns the ids of the products that a filter selects, in an order.
func (l list) sorted(f ledger.ProductFilter, by ledger.Sort, descending bool) []string {
	var out []listedProduct
	for _, p := range l.products {
		if p.matches(f) {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b listedProduct) int {
		order := 0
		switch by {
		case ledger.SortID:
		case ledger.SortName:
			order = strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name))
		case ledger.SortChangedAt:
			order = cmp.Compare(a.Changed, b.Changed)
		case ledger.SortDiffersSince:
			switch {
			case a.Differs == nil || b.Differs == nil:
				order = map[bool]int{true: 1}[a.Differs == nil] - map[bool]int{true: 1}[b.Differs == nil]
			case descending:
				order = cmp.Compare(*b.Differs, *a.Differs)
			default:
				order = cmp.Compare(*a.Differs, *b.Differs)
			}
			return cmp.Or(order, strings.Compare(a.ID, b.ID))
		}
		if order = cmp.Or(order, strings.Compare(a.ID, b.ID)); descending {
			return -order
		}
		return order
	})
	ids := []string{}
	for _, p := range out {
		ids = append(ids, p.ID)
	}
	return ids
}

// pages reads a list page by page to its end, and then back to its beginning.
func (l list) pages(t *rapid.T, f ledger.ProductFilter, page ledger.Page) (forwards, backwards []string) {
	forwards, backwards = []string{}, []string{}
	for more := true; more; {
		var rows []ledger.Row
		var err error
		rows, more, err = l.Page(t.Context(), f, page)
		require.NoError(t, err)
		require.LessOrEqual(t, len(rows), page.Limit)
		require.True(t, !more || len(rows) == page.Limit)
		for _, r := range rows {
			forwards = append(forwards, r.ID)
			page.From = &r.Place
		}
	}
	if len(forwards) > 0 {
		backwards = append(backwards, forwards[len(forwards)-1])
	}
	page.Backwards = true
	for more := page.From != nil; more; {
		var rows []ledger.Row
		var err error
		rows, more, err = l.Page(t.Context(), f, page)
		require.NoError(t, err)
		for _, r := range slices.Backward(rows) {
			backwards = append(backwards, r.ID)
			page.From = &r.Place
		}
	}
	slices.Reverse(backwards)
	return forwards, backwards
}

// facet counts the products that a filter selects without its restriction of a facet, by the values of that.
func (l list) facet(name string, f ledger.ProductFilter) map[string]uint64 {
	values := map[string]func(listedProduct) []string{
		"state":       func(p listedProduct) []string { f.States = nil; return []string{p.State} },
		"kind":        func(p listedProduct) []string { f.Kinds = nil; return []string{p.Kind} },
		"drift_kind":  func(p listedProduct) []string { f.DriftKinds = nil; return p.Drift },
		"cause":       func(p listedProduct) []string { f.Causes = nil; return p.Causes },
		"dead_reason": func(p listedProduct) []string { f.DeadReasons = nil; return p.Reasons },
		"rule":        func(p listedProduct) []string { f.Rules = nil; return p.Rules },
		"no_active_price": func(p listedProduct) []string {
			if f.NoActivePrice = false; p.NoPrice {
				return []string{"true"}
			}
			return nil
		},
	}[name]
	out := map[string]uint64{}
	for _, p := range l.products {
		has := map[string]bool{}
		for _, v := range values(p) {
			has[v] = true
		}
		for v := range has {
			if p.matches(f) {
				out[v]++
			}
		}
	}
	return out
}

func TestPage_FiltersAndSortsAsItSays(t *testing.T) {
	t.Parallel()
	l := plant(t, 300)
	rapid.Check(t, func(t *rapid.T) {
		f := drawnFilter(t)
		page := ledger.Page{
			Sort: rapid.SampledFrom([]ledger.Sort{
				ledger.SortID, ledger.SortName, ledger.SortDiffersSince, ledger.SortChangedAt,
			}).Draw(t, "sort"),
			Descending: rapid.Bool().Draw(t, "descending"),
			Limit:      rapid.SampledFrom([]int{7, 50, 1000}).Draw(t, "limit"),
		}
		want := l.sorted(f, page.Sort, page.Descending)
		forwards, backwards := l.pages(t, f, page)
		require.Equal(t, want, forwards)
		require.Equal(t, want, backwards)
		total, err := l.CountProducts(t.Context(), f)
		require.NoError(t, err)
		require.Equal(t, ledger.Count{N: uint64(len(want))}, total)
	})
}

func TestCountFacets_CountsEachWithoutItsOwnRestriction(t *testing.T) {
	t.Parallel()
	l := plant(t, 300)
	names := []string{"state", "kind", "drift_kind", "cause", "dead_reason", "rule", "no_active_price"}
	rapid.Check(t, func(t *rapid.T) {
		f := drawnFilter(t)
		counts, err := l.CountFacets(t.Context(), f)
		require.NoError(t, err)
		require.Equal(t, ledger.Count{N: uint64(len(l.sorted(f, ledger.SortID, false)))}, counts.Total)
		var got []string
		for _, facet := range counts.Facets {
			got = append(got, facet.Facet)
			values := map[string]uint64{}
			for i, v := range facet.Values {
				require.False(t, v.IsMinimum)
				require.True(t, i == 0 || facet.Values[i-1].N >= v.N)
				values[v.Value] = v.N
			}
			want := l.facet(facet.Facet, f)
			require.True(t, maps.Equal(want, values), "%s: want %v, got %v", facet.Facet, want, values)
		}
		require.Equal(t, names, got)
	})
}

// A search that matches very many products is compared row by row, and not looked up.
func TestPage_OfWideSearchIsTheSameAsOfNarrowOne(t *testing.T) {
	t.Parallel()
	l := plant(t, 300)
	l.SetMaxFound(20)
	wide := []string{"mug", "MUG-", "color:red", "oak", "price mug", "Gold/ col", "ärmel"}
	rapid.Check(t, func(t *rapid.T) {
		f := drawnFilter(t)
		f.Search = rapid.SampledFrom(wide).Draw(t, "wide search")
		page := ledger.Page{Sort: ledger.SortName, Descending: rapid.Bool().Draw(t, "descending"), Limit: 50}
		want := l.sorted(f, page.Sort, page.Descending)
		forwards, backwards := l.pages(t, f, page)
		require.Equal(t, want, forwards)
		require.Equal(t, want, backwards)
		exact, err := l.CountProducts(t.Context(), f)
		require.NoError(t, err)
		require.Equal(t, ledger.Count{N: uint64(len(want))}, exact)
		counts, err := l.CountFacets(t.Context(), f)
		require.NoError(t, err)
		total, err := l.CountListed(t.Context(), f)
		require.NoError(t, err)
		for _, count := range []ledger.Count{counts.Total, total} {
			requireCount(t, count, len(want))
		}
		for _, facet := range counts.Facets {
			want := l.facet(facet.Facet, f)
			for _, v := range facet.Values {
				requireCount(t, v.Count, int(want[v.Value]))
			}
		}
	})
}

// requireCount requires that a count is right: exact, or a minimum that says so.
func requireCount(t *rapid.T, count ledger.Count, want int) {
	if count.IsMinimum {
		require.LessOrEqual(t, count.N, uint64(want))
		return
	}
	require.EqualValues(t, want, count.N)
}
