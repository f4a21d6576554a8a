package e2e_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v76"

	"github.com/driftless-sync/driftless/services/reconciliation"
	"github.com/driftless-sync/driftless/services/stripesim"
)

// waitImported waits until the catalog has prices of a product, and a default price.
func (r *rig) waitImported(product, byDefault string, prices ...string) {
	r.t.Helper()
	var held []string
	var def string
	require.Eventually(r.t, func() bool {
		if err := r.pool.QueryRow(r.t.Context(),
			`SELECT coalesce(p.default_price, ''), coalesce(array_agg(c.id ORDER BY c.id) FILTER (WHERE c.id IS NOT NULL), '{}')
			FROM driftless.products p LEFT JOIN driftless.prices c ON c.product = p.id WHERE p.id = $1 GROUP BY 1`,
			product).Scan(&def, &held); err != nil {
			return false
		}
		return len(held) == len(prices) && def == byDefault
	}, patience, tick, "the catalog has not come to hold %v of product %s", prices, product)
	require.ElementsMatch(r.t, prices, held)
}

// The test imports products of others while webhooks are late and out of order.
func TestImport_WaitsForPricesAndTakesLaterOnes(t *testing.T) {
	t.Parallel()
	sim := unlimited
	sim.Faults = []stripesim.Fault{
		{Kind: stripesim.FaultWebhookDelayed, Event: "price.*", Delay: 700 * time.Millisecond},
		{
			Kind:        stripesim.FaultWebhookReordered,
			Event:       "product.*",
			Probability: 0.5,
			Seed:        1,
			Delay:       200 * time.Millisecond,
		},
	}
	r := newRig(t, sim, withPolicy(nil, reconciliation.ExtrasImport))
	newPrice := func(product string, amount int64, mark string) string {
		params := &stripe.PriceParams{
			Product:    stripe.String(product),
			Currency:   stripe.String("eur"),
			UnitAmount: stripe.Int64(amount),
		}
		if mark != "" {
			params.AddMetadata("driftless_price", mark)
		}
		p, err := r.stripe.Prices.New(params)
		require.NoError(t, err)
		return p.ID
	}
	byDefault := map[string]string{}
	for i := range 5 {
		id, err := r.admin.CreateProduct(t.Context(),
			form("", "name", fmt.Sprint("At once ", i), "default_price_data[currency]", "eur",
				"default_price_data[unit_amount]", fmt.Sprint(100+i)))
		require.NoError(t, err)
		p, err := r.stripe.Products.Get(id, nil)
		require.NoError(t, err)
		byDefault[id] = p.DefaultPrice.ID
	}
	// Programs create products like this: one call after the other.
	p, err := r.stripe.Products.New(&stripe.ProductParams{ID: stripe.String("gold"), Name: stripe.String("Gold")})
	require.NoError(t, err)
	byDefault[p.ID] = newPrice(p.ID, 500, "")
	_, err = r.stripe.Products.Update(p.ID, &stripe.ProductParams{DefaultPrice: stripe.String(byDefault[p.ID])})
	require.NoError(t, err)
	for id, price := range byDefault {
		r.waitImported(id, price, price)
	}
	r.waitConverged()

	second := newPrice("gold", 600, "")
	copied := newPrice("gold", 700, byDefault["gold"])
	r.waitImported("gold", byDefault["gold"], byDefault["gold"], second, copied)

	// The product has had no price yet.
	_, err = r.stripe.Products.New(&stripe.ProductParams{ID: stripe.String("bare"), Name: stripe.String("Bare")})
	require.NoError(t, err)
	r.waitImported("bare", "")
	r.waitConverged()
	first := newPrice("bare", 800, "")
	_, err = r.stripe.Products.Update("bare", &stripe.ProductParams{DefaultPrice: stripe.String(first)})
	require.NoError(t, err)
	r.waitImported("bare", first, first)
	r.waitConverged()

	byDefault["bare"] = first
	for id, price := range byDefault {
		p, err := r.stripe.Products.Get(id, nil)
		require.NoError(t, err)
		require.NotNil(t, p.DefaultPrice, id)
		require.Equal(t, price, p.DefaultPrice.ID, id)
	}
	for _, id := range []string{byDefault["gold"], second, copied, first} {
		price, err := r.stripe.Prices.Get(id, nil)
		require.NoError(t, err)
		require.True(t, price.Active, id)
		require.Equal(t, id, price.Metadata["driftless_price"])
	}
}
