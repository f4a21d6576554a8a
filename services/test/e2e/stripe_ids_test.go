package e2e_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v76"

	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/stripesim"
)

// watchIDs records in the database each change of driftless.stripe_ids that must not happen: a row that goes back to an
// earlier version, and one that is written again although it has the same ids.
const watchIDs = `
	CREATE TABLE wrong (what text, id text, old jsonb, new jsonb);
	CREATE FUNCTION watch_ids() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		IF NEW.since_version < OLD.since_version THEN
			INSERT INTO wrong VALUES ('went back', NEW.price_id, to_jsonb(OLD), to_jsonb(NEW));
		END IF;
		IF to_jsonb(OLD) - 'updated_at' - 'since_version' = to_jsonb(NEW) - 'updated_at' - 'since_version' THEN
			INSERT INTO wrong VALUES ('was written twice', NEW.price_id, to_jsonb(OLD), to_jsonb(NEW));
		END IF;
		RETURN NEW;
	END $$;
	CREATE TRIGGER watch_ids AFTER UPDATE ON driftless.stripe_ids FOR EACH ROW EXECUTE FUNCTION watch_ids()`

// editPrices makes a random edit of a shop of some products.
func (r *rig) editPrices(random *rand.Rand) {
	r.t.Helper()
	// Stripe refuses a default price that is not active.
	const noDefault = "WITH u AS (UPDATE driftless.products SET default_price = NULL WHERE default_price = $1) "
	id := fmt.Sprintf("p%d", random.IntN(8))
	price := fmt.Sprintf("%s-%d", id, random.IntN(2))
	switch random.IntN(8) {
	case 0:
		r.exec(noDefault+"DELETE FROM driftless.prices WHERE id = $1", price)
	case 1:
		r.exec("UPDATE driftless.products SET active = NOT active WHERE id = $1", id)
	case 2:
		r.exec(noDefault+"UPDATE driftless.prices SET active = NOT active WHERE id = $1", price)
	case 3:
		r.exec("UPDATE driftless.products SET default_price = (SELECT max(id) FROM driftless.prices "+
			"WHERE product = $1 AND active) WHERE id = $1", id)
	case 4:
		r.exec("DELETE FROM driftless.products WHERE id = $1", id)
	default:
		r.exec("INSERT INTO driftless.products (id, name) VALUES ($1, 'A') ON CONFLICT DO NOTHING", id)
		// Few amounts, so that prices come back.
		r.exec("INSERT INTO driftless.prices (id, product, currency, unit_amount) VALUES ($1, $2, 'eur', $3) "+
			"ON CONFLICT (id) DO UPDATE SET unit_amount = excluded.unit_amount", price, id, 100*(1+random.IntN(3)))
	}
}

// activePrices returns Stripe's ids of the active rows of prices, by the catalog's ids.
func (r *rig) activePrices() map[string]string {
	r.t.Helper()
	rows, err := r.pool.Query(r.t.Context(),
		"SELECT price_id, stripe_price_id FROM driftless.stripe_ids WHERE active AND price_id <> ''")
	require.NoError(r.t, err)
	out := map[string]string{}
	var id, stripeID string
	_, err = pgx.ForEachRow(rows, []any{&id, &stripeID}, func() error {
		require.NotContains(r.t, out, id)
		out[id] = stripeID
		return nil
	})
	require.NoError(r.t, err)
	return out
}

// sellablePrices returns the ids of the prices at which Stripe sells, by the catalog's ids. Stripe may refuse the
// reads, because the services read at the same time.
func (r *rig) sellablePrices() (map[string]string, error) {
	sells := map[string]bool{}
	products := r.stripe.Products.List(&stripe.ProductListParams{Active: stripe.Bool(true)})
	for products.Next() {
		sells[products.Product().ID] = true
	}
	out := map[string]string{}
	prices := r.stripe.Prices.List(&stripe.PriceListParams{Active: stripe.Bool(true)})
	for prices.Next() {
		p := prices.Price()
		if !sells[p.Product.ID] {
			continue
		}
		marker := p.Metadata["driftless_price"]
		if other := out[marker]; other != "" {
			return nil, fmt.Errorf("%s and %s are active prices of %s", other, p.ID, marker)
		}
		out[marker] = p.ID
	}
	return out, errors.Join(products.Err(), prices.Err())
}

// Whatever the edits, kills and delays, no row goes back, and at rest the rows are what Stripe sells.
func TestStripeIDs_EqualStripeAfterEditsKillsAndDelays(t *testing.T) {
	if testing.Short() {
		t.Skip("kills processes for a while")
	}
	r := newRig(t, stripesim.Config{}, processes("DRIFTLESS_STRIPE_IDS=true"))
	r.exec(watchIDs)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range 2 {
		for _, f := range []stripesim.Fault{
			{Kind: stripesim.FaultLatency, Delay: 30 * time.Millisecond, Probability: 0.3, Seed: seed},
			{Kind: stripesim.FaultResponseLost, Probability: 0.05, Seed: seed},
			{Kind: stripesim.FaultWebhookReordered, Delay: 50 * time.Millisecond, Probability: 0.3, Seed: seed},
		} {
			_, err := r.admin.AddFault(t.Context(), f)
			require.NoError(t, err)
		}
		for range 40 {
			r.editPrices(random)
		}
		// The services work on the edits while one of them dies.
		victim := []string{topology.Ingestion, topology.Push, topology.Pull}[random.IntN(3)]
		r.kill(victim)
		for range 20 {
			r.editPrices(random)
		}
		r.start(victim)
		require.NoError(t, r.admin.ClearFaults(t.Context()))
		r.waitConverged()
		require.EventuallyWithT(t, func(c *assert.CollectT) {
			sold, err := r.sellablePrices()
			require.NoError(c, err)
			require.Equal(c, sold, r.activePrices())
		}, patience, 100*time.Millisecond, "the table and Stripe")
	}
	var wrong string
	require.NoError(t, r.pool.QueryRow(t.Context(),
		"SELECT coalesce(string_agg(wrong::text, E'\n'), '') FROM wrong").Scan(&wrong))
	require.Empty(t, wrong)
}
