package ingestion_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/ingestion"
	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// observe stores the state of a product that sells at one price, as push would after a version.
func (r *rig) observe(product, price, stripePrice string, version uint64) {
	r.t.Helper()
	_, err := r.stores.Observed().Update(r.t.Context(), "default", product, func(o *catalogv1.Observed) error {
		o.Version, o.Product = version, &catalogv1.Product{Id: product, Active: new(true), DefaultPrice: stripePrice}
		for _, p := range o.GetPrices() {
			p.Price.Active, p.Price.LookupKey = new(false), ""
		}
		o.Prices = append(o.Prices, &catalogv1.ObservedPrice{
			StripeId: stripePrice, Created: int64(version),
			Price: &catalogv1.Price{Id: price, Active: new(true), LookupKey: price},
		})
		return nil
	})
	require.NoError(r.t, err)
}

// damage stores an observed state that cannot be decoded.
func (r *rig) damage(product string) {
	r.t.Helper()
	subject := "$KV." + topology.BucketObserved + ".default." + product
	_, err := r.mesh.JetStream().Publish(r.t.Context(), subject, []byte{0xff})
	require.NoError(r.t, err)
}

// stripePrice returns Stripe's id that the table has for an active price, "" if there is none.
func (r *rig) stripePrice(price string) (id string) {
	r.t.Helper()
	err := r.pool.QueryRow(r.t.Context(),
		"SELECT stripe_price_id FROM driftless.stripe_ids WHERE account = 'default' AND price_id = $1 AND active",
		price).Scan(&id)
	if err != nil {
		require.ErrorIs(r.t, err, pgx.ErrNoRows)
	}
	return id
}

// within fails the test if a condition is not met in time.
func (r *rig) within(atMost time.Duration, what string, met func() bool) {
	r.t.Helper()
	require.Eventually(r.t, met, atMost, 5*time.Millisecond, what)
}

func TestStripeIDs_FollowObserved(t *testing.T) {
	r := newRig(t)
	r.cfg.StripeIDs = true
	r.damage("damaged")
	const n = 1200 // more than two transactions
	for i := range n {
		r.observe(fmt.Sprintf("p%d", i), fmt.Sprintf("p%d-eur", i), fmt.Sprintf("price_%d", i), 3)
	}
	r.start()
	r.eventually("the first start fills the table", func() bool {
		var rows int
		require.NoError(t,
			r.pool.QueryRow(t.Context(), "SELECT count(*) FROM driftless.stripe_ids WHERE active").Scan(&rows))
		return rows == 2*n
	})

	conn, err := r.pool.Acquire(t.Context())
	require.NoError(t, err)
	defer conn.Release()
	_, err = conn.Exec(t.Context(), "LISTEN driftless_stripe_ids")
	require.NoError(t, err)
	r.observe("p7", "p7-eur", "price_new", 4)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	told, err := conn.Conn().WaitForNotification(ctx)
	require.NoError(t, err, "the table is at most a second behind")
	require.Equal(t, "p7", told.Payload)
	require.Equal(t, "price_new", r.stripePrice("p7-eur"))

	r.stop()
	r.observe("p8", "p8-eur", "price_away", 4)
	r.exec("DELETE FROM driftless.stripe_ids WHERE product_id = 'p9'")
	r.start()
	r.eventually("the change made while ingestion was away",
		func() bool { return r.stripePrice("p8-eur") == "price_away" })
	r.eventually("the rows that somebody deleted", func() bool { return r.stripePrice("p9-eur") == "price_9" })
}

// Without the setting, the database has no such table.
func TestStripeIDs_AreOffByDefault(t *testing.T) {
	r := newRig(t)
	r.start()
	var exists bool
	require.NoError(t,
		r.pool.QueryRow(t.Context(), "SELECT to_regclass('driftless.stripe_ids') IS NOT NULL").Scan(&exists))
	require.False(t, exists)
}

// idColumns gives the rig tables with columns for Stripe's ids.
func (r *rig) idColumns() {
	r.t.Helper()
	r.exec(`CREATE TABLE items (id text PRIMARY KEY, name text, stripe_id text);
		CREATE TABLE tariffs (id int PRIMARY KEY, item text, cents int, stripe_price text);
		INSERT INTO items VALUES ('mug', 'Mug'), ('cup', 'Cup');
		INSERT INTO tariffs VALUES (1, 'mug', 1400), (2, 'cup', 900)`)
	r.cfg.Mapping = &config.Mapping{
		Products: "SELECT id, name FROM items",
		Prices:   "SELECT id, item AS product, 'eur' AS currency, cents AS unit_amount FROM tariffs",
		Watch: []config.WatchedTable{
			{Table: "items", ProductID: "id"},
			{Table: "tariffs", Products: "SELECT @item"},
		},
		WriteIDs: &config.WriteIDs{
			Products: &config.IDColumn{Table: "items", Key: "id", Column: "stripe_id"},
			Prices:   &config.IDColumn{Table: "tariffs", Key: "id", Column: "stripe_price"},
		},
	}
	r.exec("ALTER TABLE tariffs REPLICA IDENTITY FULL")
}

func (r *rig) text(sql string) (text string) {
	r.t.Helper()
	require.NoError(r.t, r.pool.QueryRow(r.t.Context(), sql).Scan(&text))
	return text
}

func TestWriteIDs_WritesOwnColumns(t *testing.T) {
	r := newRig(t)
	r.idColumns()
	r.start()
	r.exec("UPDATE items SET name = 'Big mug' WHERE id = 'mug'")
	r.waitCaptured()
	before := r.latest("mug").GetVersion()
	r.observe("mug", "1", "price_1", 3)
	r.within(testTimeout, "the price's id", func() bool {
		return r.text("SELECT coalesce(stripe_price, '') FROM tariffs WHERE id = 1") == "price_1"
	})
	require.Equal(t, "mug", r.text("SELECT stripe_id FROM items WHERE id = 'mug'"))
	r.waitCaptured()
	// The write changes a watched table, and not what the queries return.
	require.Equal(t, before, r.latest("mug").GetVersion(), "no version that changes nothing")
	r.observe("cup", "2", "price_2", 3)
	r.within(testTimeout, "the next product", func() bool {
		return r.text("SELECT coalesce(stripe_price, '') FROM tariffs WHERE id = 2") == "price_2"
	})

	r.exec("UPDATE tariffs SET stripe_price = NULL WHERE id = 1")
	r.within(testTimeout, "a value that the application has overwritten", func() bool {
		return r.text("SELECT coalesce(stripe_price, '') FROM tariffs WHERE id = 1") == "price_1"
	})
	_, err := r.stores.Observed().Update(t.Context(), "default", "mug", func(o *catalogv1.Observed) error {
		o.Product.Active = new(false)
		return nil
	})
	require.NoError(t, err)
	r.within(testTimeout, "an archived product has no price on sale", func() bool {
		return r.text("SELECT coalesce(stripe_price, '') FROM tariffs WHERE id = 1") == ""
	})
	require.Equal(t, "mug", r.text("SELECT stripe_id FROM items WHERE id = 'mug'"), "the product's id stays")
}

// The id itself changes nothing, but a trigger of the operator's may.
func TestWriteIDs_CapturesWhatATriggerChanges(t *testing.T) {
	r := newRig(t)
	r.idColumns()
	r.exec(`CREATE FUNCTION rename() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.name := NEW.stripe_id; RETURN NEW; END $$;
		CREATE TRIGGER rename BEFORE UPDATE OF stripe_id ON items FOR EACH ROW EXECUTE FUNCTION rename()`)
	r.start()
	r.observe("mug", "1", "price_1", 3)
	r.eventually("the new name", func() bool { return r.latest("mug").GetProduct().GetName() == "mug" })
	require.Equal(t, catalogv1.Source_SOURCE_WAL, r.latest("mug").GetSource())
}

// A row that refuses the id does not keep the others, the table or capture waiting.
func TestWriteIDs_FailureConcernsOneRow(t *testing.T) {
	r := newRig(t)
	r.idColumns()
	r.exec("ALTER TABLE tariffs ADD CHECK (id <> 1 OR stripe_price IS NULL)")
	r.start()
	r.observe("mug", "1", "price_1", 3)
	r.observe("cup", "2", "price_2", 3)
	r.within(testTimeout, "the other row", func() bool {
		return r.text("SELECT coalesce(stripe_price, '') FROM tariffs WHERE id = 2") == "price_2"
	})
	r.within(testTimeout, "the table", func() bool { return r.stripePrice("1") == "price_1" })
	r.exec("UPDATE items SET name = 'Mugs' WHERE id = 'mug'")
	r.waitCaptured()
	require.Equal(t, "Mugs", r.latest("mug").GetProduct().GetName())
	r.exec("ALTER TABLE tariffs DROP CONSTRAINT tariffs_check")
	r.within(testTimeout, "the row, once it accepts the id", func() bool {
		return r.text("SELECT coalesce(stripe_price, '') FROM tariffs WHERE id = 1") == "price_1"
	})
}

func TestWriteIDs_ChecksColumnsAtTheStart(t *testing.T) {
	r := newRig(t)
	r.idColumns()
	r.exec(`ALTER TABLE items ADD number int; ALTER TABLE tariffs ADD required text NOT NULL DEFAULT ''`)
	for name, test := range map[string]struct {
		ids  config.WriteIDs
		want string
	}{
		"no table": {
			config.WriteIDs{Products: &config.IDColumn{Table: "nowhere", Key: "id", Column: "x"}},
			"no table nowhere",
		},
		"no column": {
			config.WriteIDs{Products: &config.IDColumn{Table: "items", Key: "id", Column: "x"}},
			"has no column x",
		},
		"a number": {
			config.WriteIDs{Products: &config.IDColumn{Table: "items", Key: "id", Column: "number"}},
			"column number of items is integer",
		},
		"not null": {
			config.WriteIDs{Prices: &config.IDColumn{Table: "tariffs", Key: "id", Column: "required"}},
			"ALTER TABLE tariffs ALTER COLUMN required DROP NOT NULL;",
		},
		"the key itself": {
			config.WriteIDs{Products: &config.IDColumn{Table: "items", Key: "id", Column: "id"}},
			"both id",
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := r.cfg
			cfg.Mapping = new(*r.cfg.Mapping)
			cfg.Mapping.WriteIDs = &test.ids
			found, err := ingestion.Check(t.Context(), cfg)
			require.NoError(t, err)
			require.ErrorContains(t, found.Err(), test.want)
			require.ErrorContains(t, ingestion.Run(t.Context(), cfg), test.want)
		})
	}
}
