package stripeids_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/ingestion/internal/stripeids"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
)

// created is when the bucket of the tests was created. Postgres keeps microseconds of it.
var created = time.Date(2026, 5, 1, 12, 0, 0, 123456789, time.UTC)

func newStore(t testing.TB, account string) *stripeids.Store {
	t.Helper()
	url := localtest.Postgres(t)
	require.NoError(t, stripeids.Migrate(context.Background(), url, ""))
	s := &stripeids.Store{Pool: localtest.Pool(t, url), Account: account}
	require.NoError(t, s.Restart(context.Background(), stripeids.Position{}, created))
	return s
}

func at(revision uint64) stripeids.Position {
	return stripeids.Position{Revision: revision, BucketCreated: created.Truncate(time.Microsecond)}
}

// observed returns the state of a product that sells at one price, "" for none, after a version.
func observed(product string, version uint64, selling string, archived ...string) *catalogv1.Observed {
	o := &catalogv1.Observed{
		ProductId: product, Version: version,
		Product: &catalogv1.Product{Id: product, Active: new(true), DefaultPrice: selling},
	}
	for i, id := range append(archived, selling) {
		if id != "" {
			o.Prices = append(o.Prices,
				&catalogv1.ObservedPrice{StripeId: id, Created: int64(i), Price: &catalogv1.Price{
					Id: product + "-eur", Active: new(id == selling),
					LookupKey: map[bool]string{true: product + "-eur"}[id == selling],
				}})
		}
	}
	return o
}

// row is a row of the table as a test reads it.
type row struct {
	PriceID, StripeProductID, StripePriceID, LookupKey string
	Active, IsDefault                                  bool
	Since                                              int64
}

func rowsOf(t require.TestingT, pool *pgxpool.Pool, account, product string) (out []row) {
	rows, err := pool.Query(context.Background(), `SELECT price_id, stripe_product_id, coalesce(stripe_price_id, ''),
		coalesce(lookup_key, ''), active, is_default, since_version FROM driftless.stripe_ids
		WHERE account = $1 AND product_id = $2 ORDER BY price_id`, account, product)
	require.NoError(t, err)
	for rows.Next() {
		var r row
		require.NoError(t, rows.Scan(&r.PriceID, &r.StripeProductID, &r.StripePriceID, &r.LookupKey, &r.Active,
			&r.IsDefault, &r.Since))
		out = append(out, r)
	}
	require.NoError(t, rows.Err())
	return out
}

func TestApply_ShowsThePriceInUse(t *testing.T) {
	s := newStore(t, "default")
	apply := func(o *catalogv1.Observed, revision uint64) []string {
		changed, err := s.Apply(t.Context(), []stripeids.State{{Observed: o, Revision: revision}}, at(revision))
		require.NoError(t, err)
		return changed
	}
	require.Equal(t, []string{"mug"}, apply(observed("mug", 7, "price_1"), 1))
	require.Equal(t, []row{
		{StripeProductID: "mug", Active: true, Since: 7},
		{"mug-eur", "mug", "price_1", "mug-eur", true, true, 7},
	}, rowsOf(t, s.Pool, "default", "mug"))

	require.Empty(t, apply(observed("mug", 8, "price_1"), 2), "nothing that the rows show has changed")
	require.Equal(t, int64(7), rowsOf(t, s.Pool, "default", "mug")[1].Since)

	require.Equal(t, []string{"mug"}, apply(observed("mug", 9, "price_2", "price_1"), 3), "the price was replaced")
	require.Equal(t, row{"mug-eur", "mug", "price_2", "mug-eur", true, true, 9}, rowsOf(t, s.Pool, "default", "mug")[1])

	gone := observed("mug", 10, "")
	apply(gone, 4)
	require.Equal(t, row{"mug-eur", "mug", "price_2", "", false, false, 10}, rowsOf(t, s.Pool, "default", "mug")[1],
		"the row of a price that is gone stays, and is not active")

	archived := observed("mug", 11, "price_3")
	archived.Product.Active = new(false)
	apply(archived, 5)
	for _, r := range rowsOf(t, s.Pool, "default", "mug") {
		require.False(t, r.Active, "Stripe sells nothing of an archived product: %v", r)
	}
	p, err := s.Position(t.Context())
	require.NoError(t, err)
	require.Equal(t, uint64(5), p.Revision)
}

func TestApply_IgnoresProductsThatDriftlessDoesNotManage(t *testing.T) {
	s := newStore(t, "default")
	changed, err := s.Apply(t.Context(), []stripeids.State{{Observed: observed("extra", 0, "price_1"), Revision: 1}},
		at(1))
	require.NoError(t, err)
	require.Empty(t, changed)
	require.Empty(t, rowsOf(t, s.Pool, "default", "extra"))
}

func TestApply_NotifiesOncePerChangedProduct(t *testing.T) {
	s := newStore(t, "default")
	conn, err := s.Pool.Acquire(t.Context())
	require.NoError(t, err)
	defer conn.Release()
	_, err = conn.Exec(t.Context(), "LISTEN "+stripeids.Channel)
	require.NoError(t, err)
	for revision := range uint64(3) {
		_, err = s.Apply(t.Context(), []stripeids.State{
			{Observed: observed("mug", 1, "price_1"), Revision: 2*revision + 1},
			{Observed: observed("cup", 1+revision, fmt.Sprintf("price_c%d", revision)), Revision: 2*revision + 2},
		}, at(2*revision+2))
		require.NoError(t, err)
	}
	var told []string
	for range 4 {
		n, err := conn.Conn().WaitForNotification(t.Context())
		require.NoError(t, err)
		told = append(told, n.Payload)
	}
	require.Equal(t, []string{"cup", "mug", "cup", "cup"}, told)
}

// The table has the rows of the latest state, whatever the order in which processes write the states, how often they
// write each, and how they group them. No row goes back to an earlier version.
func TestApply_NeverGoesBack(t *testing.T) {
	s := newStore(t, "default")
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		store := &stripeids.Store{Pool: s.Pool, Account: fmt.Sprintf("a%d", run)}
		require.NoError(rt, store.Restart(t.Context(), stripeids.Position{}, created))
		products := []string{"mug", "cup"}
		var states []stripeids.State
		final := map[string]stripeids.State{}
		for revision := range uint64(rapid.IntRange(1, 12).Draw(rt, "states")) {
			product := rapid.SampledFrom(products).Draw(rt, "product")
			version := final[product].Observed.GetVersion() + uint64(rapid.IntRange(0, 1).Draw(rt, "grows"))
			o := observed(product, max(version, 1),
				rapid.SampledFrom([]string{"", "price_1", "price_2"}).Draw(rt, "sells"))
			final[product] = stripeids.State{Observed: o, Revision: revision + 1}
			states = append(states, final[product])
		}
		order := rapid.Permutation(append(states, rapid.SliceOf(rapid.SampledFrom(states)).Draw(rt, "again")...)).Draw(
			rt, "order")
		since := map[string]int64{}
		for len(order) > 0 {
			n := rapid.IntRange(1, len(order)).Draw(rt, "together")
			batch := order[:n]
			order = order[n:]
			_, err := store.Apply(t.Context(), batch, at(batch[n-1].Revision))
			require.NoError(rt, err)
			for _, product := range products {
				for _, r := range rowsOf(rt, store.Pool, store.Account, product) {
					require.GreaterOrEqual(rt, r.Since, since[product+r.PriceID])
					since[product+r.PriceID] = r.Since
				}
			}
		}
		for product, state := range final {
			byPrice := map[string]row{}
			for _, r := range rowsOf(rt, store.Pool, store.Account, product) {
				byPrice[r.PriceID] = r
			}
			want := stripeids.Rows(state.Observed)
			for _, w := range want {
				r := byPrice[w.PriceID]
				got := stripeids.Row{
					ProductID: product, PriceID: r.PriceID, StripeProductID: r.StripeProductID,
					StripePriceID: r.StripePriceID, LookupKey: r.LookupKey, Active: r.Active,
					IsDefault: r.IsDefault,
				}
				require.Equal(rt, w, got)
				delete(byPrice, w.PriceID)
			}
			for _, r := range byPrice {
				require.False(rt, r.Active, "the state does not have %s", r.PriceID)
			}
		}
	})
}

func TestApply_RefusesStatesOfAnotherBucket(t *testing.T) {
	s := newStore(t, "default")
	state := []stripeids.State{{Observed: observed("mug", 5, "price_1"), Revision: 90}}
	_, err := s.Apply(t.Context(), state, at(90))
	require.NoError(t, err)
	known, err := s.Position(t.Context())
	require.NoError(t, err)
	later := created.Add(time.Hour)
	require.True(t, known.Continues(created, 90))
	require.False(t, known.Continues(later, 90), "the bucket was created again")
	require.False(t, known.Continues(created, 89), "the bucket was restored")

	require.NoError(t, s.Restart(t.Context(), at(89), later))
	again, err := s.Position(t.Context())
	require.NoError(t, err)
	require.Equal(t, known.Revision, again.Revision, "another process has moved the position")

	require.NoError(t, s.Restart(t.Context(), known, later))
	_, err = s.Apply(t.Context(), state, at(91))
	require.ErrorIs(t, err, stripeids.ErrRestarted)
	require.Len(t, rowsOf(t, s.Pool, "default", "mug"), 2, "the rows stay")
	_, err = s.Apply(t.Context(), []stripeids.State{{Observed: observed("mug", 4, "price_2"), Revision: 1}},
		stripeids.Position{Revision: 1, BucketCreated: later.Truncate(time.Microsecond)})
	require.NoError(t, err)
	require.Equal(t, row{"mug-eur", "mug", "price_2", "mug-eur", true, true, 5}, rowsOf(t, s.Pool, "default", "mug")[1],
		"the new bucket's first state counts, and the version does not go back")
}
