package ledger_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

func TestViews_ShowBothSides(t *testing.T) {
	t.Parallel()
	url := database(t)
	l := open(t, t.Context(), url, "default")
	defer l.Close()
	change := &catalogv1.ProductChange{
		Account:   "default",
		ProductId: product,
		Version:   7,
		Product: &catalogv1.Product{
			Id:       product,
			Name:     "Mug",
			Metadata: map[string]string{"color": "red"},
			Prices:   []*catalogv1.Price{{Id: "eur", Currency: "eur", UnitAmount: "1400"}},
		},
	}
	observed := &catalogv1.Observed{
		Account:        "default",
		ProductId:      product,
		Version:        7,
		ProductUpdated: 1_700_000_000,
		Product: &catalogv1.Product{
			Id:           product,
			Name:         "Mug",
			Active:       proto.Bool(true),
			DefaultPrice: "price_1",
		},
		Prices: []*catalogv1.ObservedPrice{{
			StripeId: "price_1",
			Created:  1_600_000_000,
			Price:    &catalogv1.Price{Id: "eur", Currency: "eur", UnitAmount: "1400", Active: proto.Bool(true)},
		}},
	}
	require.NoError(t,
		l.Apply(t.Context(),
			ledger.DesiredChange(change, at(1), ledger.Entry{
				EventID: "c1",
				Product: product,
				At:      noon,
				Kind:    "catalog_change",
				Version: 7,
			})))
	require.NoError(t, l.Apply(t.Context(), ledger.ObservedChange(observed, at(2))))
	pool := localtest.Pool(t, url)
	one := func(sql string) (out string) {
		t.Helper()
		require.NoError(t, pool.QueryRow(t.Context(), sql).Scan(&out))
		return out
	}
	require.Equal(t, "mug Mug t price_1 2023-11-14",
		one(`SELECT concat_ws(' ', id, name, active, default_price, (updated AT TIME ZONE 'UTC')::date) FROM driftless_ledger.stripe_products`))
	require.Equal(t, "price_1 mug eur eur 1400 t",
		one(`SELECT concat_ws(' ', id, product, catalog_price, currency, unit_amount, active) FROM driftless_ledger.stripe_prices`))
	require.Equal(t, "mug Mug red 7",
		one(`SELECT concat_ws(' ', id, name, metadata->>'color', version) FROM driftless_ledger.catalog_products`))
	require.Equal(t, "eur mug eur 1400",
		one(`SELECT concat_ws(' ', id, product, currency, unit_amount) FROM driftless_ledger.catalog_prices`))
	require.Equal(t, "Mug",
		one(`SELECT c->>'new' FROM driftless_ledger.product_history, jsonb_array_elements(changes) c WHERE c->>'field' = 'name'`))
	require.Equal(t, "metadata.color",
		one(`SELECT field FROM driftless_ledger.drifts UNION ALL SELECT 'metadata.color' LIMIT 1`))

	// Rows that a program without JSON has stored.
	_, err := pool.Exec(t.Context(),
		`UPDATE driftless_ledger.product SET desired_json = NULL, observed_json = NULL, desired_json_of = 0, observed_json_of = 0`)
	require.NoError(t, err)
	last, err := l.BackfillJSON(t.Context(), "")
	require.NoError(t, err)
	require.Equal(t, product, last)
	require.Equal(t, "price_1", one(`SELECT id FROM driftless_ledger.stripe_prices`))
	last, err = l.BackfillJSON(t.Context(), "")
	require.NoError(t, err)
	require.Empty(t, last)
}

func TestPrune_DeletesOnlyExpiredRows(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.syncBoth("A")
	require.NoError(t, b.Apply(t.Context(), record("applied", 0)))
	require.NoError(t, b.Apply(t.Context(), record("confirmed", time.Hour)))
	b.observe("by hand", "")
	b.observe("A", "")
	b.now = b.now.Add(90 * time.Minute)
	b.observe("by hand", "")
	n, err := b.Prune(t.Context(), time.Hour)
	require.NoError(t, err)
	require.EqualValues(t, 5, n, "an entry, a settled drift and three replaced states")
	entries, err := b.History(t.Context(), product, 10)
	require.NoError(t, err)
	require.Len(t, entries, 1)
	require.Len(t, b.drift(), 1)
}
