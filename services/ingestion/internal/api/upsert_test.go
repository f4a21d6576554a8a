package api_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/ingestion/internal/api"
)

func TestUpsertProducts_ReportsNewProducts(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.mustUpsert(product("b"))
	changed := product("b", price("b1"))
	changed.Name = "Other"
	got, err := r.upsert(product("c"), changed, product("a"))
	require.NoError(t, err)
	var answer []string
	for _, p := range got {
		answer = append(answer, fmt.Sprint(p.GetId(), " ", p.GetCreated()))
	}
	require.Equal(t, []string{"c true", "b false", "a true"}, answer)
}

// The cases compare the contents of the tables, so they run one after the other.
func TestUpsertProducts_RefusedBatchWritesNothing(t *testing.T) {
	r := newRig(t)
	r.mustUpsert(product("held", price("held-eur")),
		&catalogv1.Product{Id: "gold", Name: "Gold", Prices: []*catalogv1.Price{
			{Id: "gold-eur", Currency: "eur", UnitAmount: "1", LookupKey: "gold"},
		}})
	fine := product("fine", price("fine-eur"))
	for name, c := range map[string]struct {
		products []*catalogv1.Product
		want     []string
	}{
		"no product": {nil, []string{"products (): must be between 1 and 1000, not 0"}},
		"faults of each": {
			[]*catalogv1.Product{
				fine,
				{Id: "bad", Prices: []*catalogv1.Price{{Id: "x", Currency: "ZZZ", UnitAmount: "1"}}},
			},
			[]string{
				"products[1].name (bad): must not be empty",
				`products[1].prices[0].currency (bad): must be a currency code of 3 to 8 letters in lower case, such as eur, not "ZZZ"`,
			},
		},
		"a product twice": {
			[]*catalogv1.Product{fine, product("fine")},
			[]string{"products[1].id (fine): is in the call twice: product fine"},
		},
		"a price id twice": {
			[]*catalogv1.Product{fine, product("b", price("fine-eur"))},
			[]string{
				"products[1].prices[0].id (b): is used by a price of product fine too",
				"products[1].prices[0].lookup_key (b): is used by a price of product fine too",
			},
		},
		"an id for lookup key": {
			[]*catalogv1.Product{
				fine,
				product("b", &catalogv1.Price{Id: "b1", Currency: "eur", UnitAmount: "1", LookupKey: "fine-eur"}),
			},
			[]string{"products[1].prices[0].lookup_key (b): is used by a price of product fine too"},
		},
		"another's price": {
			[]*catalogv1.Product{fine, product("b", price("held-eur"))},
			[]string{"products[1].prices[0].id (b): price held-eur belongs to product held: a price cannot move to product b"},
		},
		"another's price, which loses it": {
			[]*catalogv1.Product{product("held"), product("b", price("held-eur"))},
			[]string{"products[1].prices[0].id (b): price held-eur belongs to product held: a price cannot move to product b"},
		},
		"another's lookup key": {
			[]*catalogv1.Product{
				fine,
				product("b", &catalogv1.Price{Id: "b1", Currency: "eur", UnitAmount: "1", LookupKey: "gold"}),
			},
			[]string{`products[1].prices[0].lookup_key (b): "gold" is the lookup key of price gold-eur of product gold`},
		},
		"another's lookup key as id": {
			[]*catalogv1.Product{product("b", price("gold"))},
			[]string{`products[0].prices[0].lookup_key (b): "gold" is the lookup key of price gold-eur of product gold`},
		},
		"another's id as lookup key": {
			[]*catalogv1.Product{product("b", &catalogv1.Price{
				Id:         "b1",
				Currency:   "eur",
				UnitAmount: "1",
				LookupKey:  "held-eur",
			})},
			[]string{`products[0].prices[0].lookup_key (b): "held-eur" is the lookup key of price held-eur of product held`},
		},
		"a character Postgres cannot store": {
			[]*catalogv1.Product{{
				Id:                "b",
				Name:              "a\x00b",
				Metadata:          map[string]string{"k": "\x00"},
				MarketingFeatures: []*catalogv1.MarketingFeature{{Name: "\x00"}},
			}},
			[]string{
				"products[0].marketing_features[0].name (b): must not hold the character U+0000: the database cannot store it",
				`products[0].metadata["k"] (b): must not hold the character U+0000: the database cannot store it`,
				"products[0].name (b): must not hold the character U+0000: the database cannot store it",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			before := r.rows()
			_, err := r.upsert(c.products...)
			require.Equal(t, c.want, violations(t, err))
			require.ErrorContains(t, err, "nothing was written")
			require.Equal(t, before, r.rows())
		})
	}
}

func TestUpsertProducts_ShortensLongRefusals(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	products := make([]*catalogv1.Product, 150)
	for i := range products {
		products[i] = &catalogv1.Product{Id: fmt.Sprint("p", i)}
	}
	_, err := r.upsert(products...)
	require.Len(t, violations(t, err), 100)
	lines := strings.Split(err.Error(), "\n")
	require.Len(t, lines, 12)
	require.Equal(t, "  products[9].name (product p9): must not be empty", lines[10])
	require.Equal(t, "  and at least 90 more", lines[11])

	_, err = r.upsert(make1001()...)
	require.Equal(t, []string{"products (): must be between 1 and 1000, not 1001"}, violations(t, err))
}

func make1001() []*catalogv1.Product {
	out := make([]*catalogv1.Product, 1001)
	for i := range out {
		out[i] = product(fmt.Sprint("p", i))
	}
	return out
}

func TestUpsertProducts_ReplacesPrices(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	keyed := func(id, key string) *catalogv1.Price {
		p := price(id)
		p.LookupKey = key
		return p
	}
	r.mustUpsert(product("a", keyed("a1", "x"), price("a2")), product("b", keyed("b1", "y")),
		product("other", price("o1")))
	// Two products of one call swap their keys. a2 is removed, and a3 is added.
	r.mustUpsert(product("a", keyed("a1", "y"), price("a3")), product("b", keyed("b1", "x")))
	var prices []string
	require.NoError(t,
		r.pool.QueryRow(t.Context(),
			"SELECT array_agg(product || ' ' || id || coalesce(' ' || lookup_key, '') ORDER BY id) FROM driftless.prices").Scan(&prices))
	require.Equal(t, []string{"a a1 y", "a a3", "b b1 x", "other o1"}, prices)
}

func TestArchiveProducts_IsAllOrNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.mustUpsert(product("a", price("a1")), product("b"))
	before := r.rows()
	err := r.archive("a", "nobody", "no-one")
	require.Equal(t, connect.CodeNotFound, connect.CodeOf(err))
	require.ErrorContains(t, err, "nobody, no-one")
	require.Equal(t, before, r.rows())

	require.Equal(t, []string{"ids (): must be between 1 and 1000, not 0"}, violations(t, r.archive()))
	require.Equal(t, []string{"ids[1] (a): is in the call twice", "ids[2] (): must not be empty"},
		violations(t, r.archive("a", "a", "")))
	require.Len(t, violations(t, r.archive("\x00")), 1)
	require.Equal(t, before, r.rows())

	require.NoError(t, r.archive("b", "a"))
	archived := r.rows()
	var active int
	require.NoError(t,
		r.pool.QueryRow(t.Context(), "SELECT count(*) FROM driftless.products WHERE active").Scan(&active))
	require.Zero(t, active)
	require.NoError(t, r.archive("a"))
	require.Equal(t, archived, r.rows(), "archived ones are not written again")
}

// Overlapping batches, in any order, wait for each other. None fails.
func TestUpsertProducts_OverlappingBatchesSucceed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const products = 40
	batch := func(round, worker int) []*catalogv1.Product {
		out := make([]*catalogv1.Product, products)
		for i := range out {
			id := (worker*7 + i*(1-2*(worker%2)) + products) % products
			id = (id + products) % products
			p := product(fmt.Sprintf("p%d", id), price(fmt.Sprintf("p%d-%d", id, round%2)),
				price(fmt.Sprintf("p%d-x", id)))
			p.Name = fmt.Sprint("by ", worker, " in ", round)
			out[i] = p
		}
		return out
	}
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for round := range 10 {
				if _, err := r.upsert(batch(round, worker)...); err != nil {
					t.Errorf("batch %d of worker %d: %v", round, worker, err)
				}
				if err := r.archive(fmt.Sprint("p", products-1-worker), fmt.Sprint("p", worker)); err != nil &&
					connect.CodeOf(err) != connect.CodeNotFound {
					t.Errorf("archive: %v", err)
				}
			}
		})
	}
	wg.Wait()
	var count, ofProduct int
	require.NoError(t,
		r.pool.QueryRow(t.Context(),
			"SELECT count(*), max(n) FROM (SELECT count(*) AS n FROM driftless.prices GROUP BY product) p").Scan(&count,
			&ofProduct))
	require.Equal(t, products, count)
	require.Equal(t, 2, ofProduct, "each product has the prices of the last batch, not of several")
}

// If several products request one price id or lookup key concurrently, one of them gets it. The others' errors name
// that product.
func TestUpsertProducts_GivesIDOrKeyToOneProduct(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for name, wanted := range map[string]func(product string) *catalogv1.Price{
		"id": func(string) *catalogv1.Price { return price("one") },
		"lookup_key": func(product string) *catalogv1.Price {
			p := price("of-" + product)
			p.LookupKey = "wanted"
			return p
		},
	} {
		for round := range 10 {
			errs := make([]error, 6)
			var wg sync.WaitGroup
			for i := range errs {
				wg.Go(func() {
					id := fmt.Sprintf("%s-%d-%d", name, round, i)
					_, errs[i] = r.upsert(product(id, wanted(id)))
				})
			}
			wg.Wait()
			var winner string
			require.NoError(t, r.pool.QueryRow(t.Context(), "SELECT product FROM driftless.prices").Scan(&winner))
			won := 0
			for i, err := range errs {
				if err == nil {
					won++
					continue
				}
				id := fmt.Sprintf("%s-%d-%d", name, round, i)
				told := violations(t, err)
				require.NotEmpty(t, told, "%v", err)
				for _, v := range told {
					require.Contains(t, v, "products[0].prices[0]."+name+" ("+id+")")
					require.Contains(t, v, "product "+winner)
				}
			}
			require.Equal(t, 1, won)
			r.exec("DELETE FROM driftless.products")
		}
	}
}

func TestUpsertProducts_RefusesMappedTables(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(cfg *api.Config) { cfg.BuiltIn = false })
	_, err := r.upsert(product("a"))
	require.Equal(t, connect.CodeFailedPrecondition, connect.CodeOf(err))
	require.ErrorContains(t, err, "the catalog is mapped from the operator's own tables: write there")
	require.Equal(t, connect.CodeFailedPrecondition, connect.CodeOf(r.archive("a")))
}
