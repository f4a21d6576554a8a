package ingestion_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nuid"
	"github.com/stretchr/testify/require"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// categories makes a catalog whose products have the name of their category.
func (r *rig) categories(products int, watch ...config.WatchedTable) {
	r.t.Helper()
	r.ownTables(`SELECT i.id, i.name, c.name AS description FROM items i JOIN categories c ON c.id = i.category`)
	r.exec(`CREATE TABLE categories (id int PRIMARY KEY, name text)`)
	r.exec(`ALTER TABLE items ADD category int DEFAULT 1`)
	r.exec(`INSERT INTO categories VALUES (1, 'Drinks'), (2, 'Food')`)
	r.exec(`INSERT INTO items SELECT 'p' || i, 'P' FROM generate_series(1, $1) i`, products)
	r.cfg.Mapping.Watch = append(r.cfg.Mapping.Watch, watch...)
}

func (r *rig) described(product, description string) {
	r.t.Helper()
	r.eventually(product+" shows "+description,
		func() bool { return r.latest(product).GetProduct().GetDescription() == description })
}

func TestComparison_FindsChangesOfUnwatchedTables(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.categories(3)
	r.start()
	r.described("p3", "Drinks")
	r.waitCapturedAfter(time.Now())
	require.Equal(t, []string{"categories"}, r.report().GetUnwatchedTables())
	r.exec(`UPDATE categories SET name = 'Beverages' WHERE id = 1`)
	r.described("p3", "Beverages")
	require.Equal(t, catalogv1.Source_SOURCE_COMPARISON, r.latest("p3").GetSource())
	r.eventually("counted", func() bool { return r.report().GetCompared().GetMissed() == 3 })
	require.ElementsMatch(t, []string{"p1", "p2", "p3"}, r.report().GetCompared().GetMissedProducts())
}

func TestComparison_CountsNoCapturedChangeAsMissed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ownTables(`SELECT id, name FROM items`)
	r.exec(`INSERT INTO items SELECT 'p' || i, 'P' FROM generate_series(1, 50) i`)
	r.start()
	r.waitCapturedAfter(time.Now())
	for i := range 200 {
		r.exec(`UPDATE items SET name = $1`, fmt.Sprint("P", i))
		require.Zero(t, r.report().GetCompared().GetMissed())
	}
	r.waitCaptured()
	require.Equal(t, "P199", r.latest("p50").GetProduct().GetName())
	require.Zero(t, r.report().GetCompared().GetMissed())
}

func TestComparison_ReportsResultOfRequest(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.categories(3)
	r.start()
	r.described("p3", "Drinks")
	r.exec(`UPDATE categories SET name = 'Beverages' WHERE id = 1`)
	id := nuid.Next()
	require.NoError(t, r.mesh.RequestReread(t.Context(), "default", id, "test", []string{"p1", "nothing"}, false))
	var found *meshv1.TableComparison
	r.eventually("answered", func() bool {
		for _, c := range r.report().GetAsked() {
			if c.GetId() == id {
				found = c
			}
		}
		return found != nil
	})
	require.EqualValues(t, 1, found.GetProducts())
	require.Equal(t, "Beverages", r.latest("p1").GetProduct().GetDescription())
	require.Nil(t, r.latest("nothing"))
}

func TestComparison_FollowsQueriesThatDependOnTime(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ownTables(
		`SELECT id, name, CASE WHEN now() > (SELECT at FROM clock) THEN 'late' ELSE 'early' END AS description FROM items`)
	r.exec(`CREATE TABLE clock AS SELECT now() + interval '3 s' AS at`)
	r.exec(`INSERT INTO items VALUES ('mug', 'Mug')`)
	r.cfg.Mapping.RereadEvery = time.Second
	r.start()
	r.described("mug", "late")
}

func TestWatch_FindsProductsByQuery(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.categories(3, config.WatchedTable{
		Table:    "categories",
		Products: `SELECT i.id FROM items i WHERE i.category = @id`,
	})
	r.start()
	r.described("p3", "Drinks")
	r.exec(`UPDATE categories SET name = 'Beverages' WHERE id = 1`)
	r.waitCaptured()
	latest := r.latest("p3")
	require.Equal(t, "Beverages", latest.GetProduct().GetDescription())
	require.Equal(t, catalogv1.Source_SOURCE_WAL, latest.GetSource())
	require.Equal(t, "public.categories", latest.GetRowImages()[0].GetTable())
}

func TestWatch_ReadsWideChangeInBulkLane(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.categories(1200, config.WatchedTable{
		Table:    "categories",
		Products: `SELECT i.id FROM items i WHERE i.category = @id`,
	})
	r.start()
	r.described("p1200", "Drinks")
	live := r.messages("catalog.default.live.*")
	r.exec(`UPDATE categories SET name = 'Beverages' WHERE id = 1`)
	committed := time.Now()
	r.waitCaptured()
	// WaitCaptured waits for it, and the captured time stays before it.
	for _, id := range []string{"p1", "p600", "p1200"} {
		require.Equal(t, "Beverages", r.latest(id).GetProduct().GetDescription(), id)
	}
	require.Equal(t, live, r.messages("catalog.default.live.*"))
	r.waitCapturedAfter(committed)
	require.Empty(t, r.report().GetOutstanding())
}

func TestWatch_PublishesConditionWherePossible(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ownTables(`SELECT id, name FROM items WHERE notes = 'product'`)
	r.cfg.Mapping.Watch[0].Where = "notes = 'product'"
	r.exec(`INSERT INTO items VALUES ('mug', 'Mug', 'product'), ('post', 'Post', 'post')`)
	r.start()
	r.waitCapturedAfter(time.Now())
	var filter string
	require.NoError(t,
		r.pool.QueryRow(t.Context(),
			`SELECT coalesce(rowfilter, '') FROM pg_publication_tables WHERE pubname = 'driftless' AND tablename = 'items'`).Scan(&filter))
	require.Contains(t, filter, "product")
	r.exec(`UPDATE items SET name = name || ' 2'`)
	r.waitCaptured()
	require.Equal(t, "Mug 2", r.latest("mug").GetProduct().GetName())
	require.Nil(t, r.latest("post"))
	// One row leaves the condition, and another one meets it.
	r.exec(`UPDATE items SET notes = CASE id WHEN 'mug' THEN 'post' ELSE 'product' END`)
	r.waitCaptured()
	require.Equal(t, catalogv1.Operation_OPERATION_DELETE, r.latest("mug").GetOperation())
	require.Equal(t, "Post 2", r.latest("post").GetProduct().GetName())
	require.Equal(t, catalogv1.Source_SOURCE_WAL, r.latest("post").GetSource())
}

func TestWatch_SupportsTwoColumnsOfOneTable(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ownTables(
		`SELECT id, name, (SELECT string_agg(x, ',' ORDER BY x) FROM (SELECT b FROM related WHERE a = id UNION SELECT a FROM related WHERE b = id) r(x)) AS description FROM items`)
	r.exec(`CREATE TABLE related (a text, b text, PRIMARY KEY (a, b))`)
	r.exec(`INSERT INTO items VALUES ('mug', 'Mug'), ('cup', 'Cup')`)
	r.cfg.Mapping.Watch = append(r.cfg.Mapping.Watch, config.WatchedTable{Table: "related", ProductID: "a"},
		config.WatchedTable{Table: "related", ProductID: "b"})
	r.start()
	r.exec(`INSERT INTO related VALUES ('mug', 'cup')`)
	r.waitCaptured()
	require.Equal(t, "cup", r.latest("mug").GetProduct().GetDescription())
	require.Equal(t, "mug", r.latest("cup").GetProduct().GetDescription())
	r.exec(`DELETE FROM related`)
	r.waitCaptured()
	require.Empty(t, r.latest("mug").GetProduct().GetDescription())
	require.Empty(t, r.latest("cup").GetProduct().GetDescription())
}

func TestComparison_ClosesLetterOfUnchangedProduct(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.categories(1)
	r.cfg.Mapping.Products = `SELECT i.id, i.name, (1 / c.id)::text AS description FROM items i JOIN categories c ON true WHERE c.id < 2`
	r.start()
	r.described("p1", "1")
	r.exec(`UPDATE categories SET id = 0 WHERE id = 1`)
	r.eventually("dead", func() bool { return r.dead("p1").GetReason() == topology.ReasonQueryFailed })
	before := r.latest("p1").GetVersion()
	r.exec(`UPDATE categories SET id = 1 WHERE id = 0`)
	r.eventually("a later version closes it", func() bool { return r.latest("p1").GetVersion() > before })
	require.Zero(t, r.report().GetCompared().GetMissed(), "a product that could not be read was not missed")
}

// A large transaction comes in chunks, and each chunk concerns very many products.
func TestWatch_CapturesAllProductsOfLargeTransaction(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ownTables(`SELECT i.id, i.name, c.name AS description FROM items i JOIN categories c ON c.id = i.id`)
	r.exec(`CREATE TABLE categories (id text PRIMARY KEY, name text)`)
	r.exec(`INSERT INTO items SELECT 'p' || i, 'P' FROM generate_series(1, 3500) i`)
	r.exec(`INSERT INTO categories SELECT id, 'old' FROM items`)
	r.cfg.Mapping.Watch = append(r.cfg.Mapping.Watch, config.WatchedTable{
		Table:    "categories",
		Products: `SELECT i.id FROM items i WHERE i.id = @id`,
	})
	r.start()
	r.waitCapturedAfter(time.Now())
	compared := r.report().GetCompared().GetFinishedAt().AsTime()
	r.exec(`UPDATE categories SET name = 'new'`)
	r.waitCaptured()
	for i := 1; i <= 3500; i += 50 {
		id := fmt.Sprint("p", i)
		require.Equal(t, "new", r.latest(id).GetProduct().GetDescription(), id)
	}
	if r.report().GetCompared().GetFinishedAt().AsTime().Equal(compared) {
		return
	}
	require.Zero(t, r.report().GetCompared().GetMissed())
}

func TestComparison_FollowsRedefinedFunction(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.exec(`CREATE FUNCTION shout(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT upper($1)'`)
	r.ownTables(`SELECT id, shout(name) AS name FROM items`)
	r.exec(`INSERT INTO items VALUES ('mug', 'Mug')`)
	r.start()
	r.requireName("mug", "MUG")
	r.exec(`CREATE OR REPLACE FUNCTION shout(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT upper($1) || ''!'''`)
	r.requireName("mug", "MUG!")
}

func TestWatch_UnpublishesConditionThatFails(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ownTables(`SELECT id, name FROM items`)
	r.exec(`ALTER TABLE items ADD n int DEFAULT 1`)
	r.cfg.Mapping.Watch[0].Where = "10 / n > 1"
	r.exec(`INSERT INTO items (id, name) VALUES ('mug', 'Mug'), ('cup', 'Cup')`)
	r.start()
	r.requireName("cup", "Cup")
	r.exec(`UPDATE items SET n = 0, name = 'Nought' WHERE id = 'mug'`)
	r.exec(`UPDATE items SET name = 'Cup 2' WHERE id = 'cup'`)
	r.requireName("cup", "Cup 2")
	r.requireName("mug", "Nought")
	r.exec(`UPDATE items SET name = 'Cup 3' WHERE id = 'cup'`)
	r.requireName("cup", "Cup 3")
}
