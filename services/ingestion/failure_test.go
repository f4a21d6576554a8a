package ingestion_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/ingestion"
	"github.com/driftless-sync/driftless/services/ingestion/internal/finding"
	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/httpserver"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// ownTables makes an operator's tables and maps them.
func (r *rig) ownTables(products string) {
	r.t.Helper()
	r.exec(`CREATE TABLE items (id text PRIMARY KEY, name text, notes text)`)
	r.exec(`CREATE TABLE tariffs (id text PRIMARY KEY, item text, metadata jsonb DEFAULT '{}')`)
	r.exec(`ALTER TABLE items REPLICA IDENTITY FULL`)
	r.exec(`ALTER TABLE tariffs REPLICA IDENTITY FULL`)
	r.cfg.Mapping = &config.Mapping{
		Products: products,
		Prices:   `SELECT id, item AS product, 'eur' AS currency, 100 AS unit_amount, metadata FROM tariffs`,
		Watch:    []config.WatchedTable{{Table: "items", ProductID: "id"}, {Table: "tariffs", ProductID: "item"}},
	}
}

// gatedTables is the same as own, but products can be read only while a gate is open. It is open at first.
func (r *rig) gatedTables() {
	r.t.Helper()
	r.exec(`CREATE FUNCTION gate() RETURNS boolean LANGUAGE sql AS 'SELECT true'`)
	r.ownTables(`SELECT id, name FROM items WHERE (SELECT gate())`)
}

// closeGate closes the gate. The returned session has the advisory lock 7. The gate opens when it releases the lock.
func (r *rig) closeGate() *pgx.Conn {
	r.t.Helper()
	conn, err := pgx.Connect(r.t.Context(), r.cfg.DatabaseURL)
	require.NoError(r.t, err)
	r.t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(r.t.Context())) })
	_, err = conn.Exec(r.t.Context(), `SELECT pg_advisory_lock(7)`)
	require.NoError(r.t, err)
	r.exec(`CREATE OR REPLACE FUNCTION gate() RETURNS boolean LANGUAGE sql AS 'SELECT pg_advisory_xact_lock_shared(7)::text IS NOT NULL'`)
	return conn
}

func (r *rig) eventually(what string, condition func() bool) {
	r.t.Helper()
	require.Eventually(r.t, condition, testTimeout, 10*time.Millisecond, what)
}

func (r *rig) snapshot() string {
	r.t.Helper()
	position, err := r.stores.Record(topology.KeySnapshot, "default").GetString(r.t.Context())
	require.NoError(r.t, err)
	return position
}

// run starts ingestion, and returns the error with which it ends at once.
func (r *rig) run() error {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), testTimeout)
	defer cancel()
	cfg := r.cfg
	cfg.HTTP = httpserver.Config{Addr: "127.0.0.1:0"}
	return ingestion.Run(ctx, cfg)
}

// report returns the last report of the capture.
func (r *rig) report() *meshv1.CaptureReport {
	r.t.Helper()
	report := &meshv1.CaptureReport{}
	_, err := r.stores.Capture("default").Get(r.t.Context(), report)
	require.NoError(r.t, err)
	return report
}

func (r *rig) slots() (n int) {
	r.t.Helper()
	require.NoError(r.t,
		r.pool.QueryRow(r.t.Context(), `SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1`,
			r.cfg.Slot).Scan(&n))
	return n
}

func TestRun_EndsWhenNATSConnectionIsClosed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	line := localtest.LineTo(t, r.cfg.NATS.URL)
	cfg := r.cfg
	cfg.NATS.InProcess, cfg.HTTP = line, httpserver.Config{Addr: "127.0.0.1:0"}
	done := make(chan error, 1)
	go func() { done <- ingestion.Run(t.Context(), cfg) }()
	r.eventually("at work", func() bool { return r.snapshot() == "done" })
	line.Abuse(t)
	require.ErrorContains(t, <-done, "the connection to NATS was closed for good")
}

func TestSnapshot_StartsOverAfterConcurrentRequest(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.gatedTables()
	r.exec(`INSERT INTO items SELECT 'p' || lpad(i::text, 5, '0'), 'P' FROM generate_series(1, 1500) i`)
	r.start()
	r.eventually("done", func() bool { return r.snapshot() == "done" })
	// A redefined function causes another comparison, and this one waits.
	conn := r.closeGate()
	r.eventually("the comparison waits", func() bool {
		var n int
		require.NoError(t,
			r.pool.QueryRow(t.Context(),
				`SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory' AND datname = current_database()`).Scan(&n))
		return n == 1
	})
	// The capture of a TRUNCATE makes the same request.
	require.NoError(t, r.stores.Record(topology.KeySnapshot, "default").PutString(t.Context(), "wanted"))
	_, err := conn.Exec(t.Context(), `SELECT pg_advisory_unlock(7)`)
	require.NoError(t, err)
	r.eventually("done", func() bool { return r.snapshot() == "done" })
	require.EqualValues(t, 1500, r.messages("catalog.default.bulk.*"))
	require.EqualValues(t, 1500, r.report().GetCompared().GetProducts(), "the first page was read again")
}

func TestSnapshot_FollowsChangedMapping(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ownTables(`SELECT id, name FROM items`)
	r.exec(`INSERT INTO items VALUES ('mug', 'Mug')`)
	r.start()
	r.eventually("read",
		func() bool { return r.latest("mug").GetProduct().GetName() == "Mug" && r.snapshot() == "done" })
	r.stop()
	r.cfg.Mapping.Products = `SELECT id, upper(name) AS name FROM items`
	r.start()
	r.eventually("read again", func() bool { return r.latest("mug").GetProduct().GetName() == "MUG" })
}

func TestRun_CreatesSlotOnlyForLogicalLog(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	require.NoError(t, r.stores.Record(topology.KeyOrigin, "default").PutString(t.Context(), "another"))
	require.ErrorContains(t, r.run(), "another Postgres server")
	require.Zero(t, r.slots(), "an unused slot would keep the log")

	require.NoError(t, r.stores.Record(topology.KeyOrigin, "default").PutString(t.Context(), ""))
	r.start()
	r.eventually("done", func() bool { return r.snapshot() == "done" })
}

func TestSnapshot_IsRequestedBeforeSlotIsCreated(t *testing.T) {
	r := newRig(t)
	r.start()
	r.eventually("done", func() bool { return r.snapshot() == "done" })
	r.stop()
	r.dropSlot()
	// The new slot cannot be created, as if the process died before.
	var err error
	for i := 0; err == nil; i++ {
		_, err = r.pool.Exec(t.Context(), `SELECT pg_create_physical_replication_slot($1)`, fmt.Sprintf("taken_%d", i))
	}
	t.Cleanup(func() {
		_, err := r.pool.Exec(context.WithoutCancel(t.Context()),
			`SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name LIKE 'taken\_%'`)
		require.NoError(t, err)
	})
	require.ErrorContains(t, err, "replication slots are in use")
	one := r.startReplica(r.cfg)
	defer one.stop()
	r.eventually("reported",
		func() bool { return strings.Contains(r.report().GetReason(), "no replication slot left") })
	require.Equal(t, meshv1.CaptureState_CAPTURE_STATE_STOPPED, r.report().GetState())
	require.Equal(t, "wanted", r.snapshot())
}

func TestWatch_TreatsPartitionedTableAsOne(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ownTables(`SELECT id, name FROM items`)
	r.exec(`DROP TABLE items`)
	r.exec(`CREATE TABLE items (id text, region text, name text, PRIMARY KEY (id, region)) PARTITION BY LIST (region)`)
	r.exec(`CREATE TABLE items_eu PARTITION OF items FOR VALUES IN ('eu')`)
	r.exec(`CREATE TABLE items_us PARTITION OF items FOR VALUES IN ('us')`)
	r.exec(`ALTER TABLE items_us REPLICA IDENTITY NOTHING`)
	require.ErrorContains(t, r.run(), "run `ALTER TABLE items_us REPLICA IDENTITY FULL;`")
	r.exec(`ALTER TABLE items_us REPLICA IDENTITY FULL`)
	r.start()
	r.exec(`INSERT INTO items VALUES ('a', 'eu', 'A'), ('b', 'us', 'B')`)
	r.waitCaptured()
	require.Equal(t, "A", r.latest("a").GetProduct().GetName())
	require.Equal(t, "B", r.latest("b").GetProduct().GetName())
	r.exec(`DELETE FROM items`)
	r.waitCaptured()
	require.Equal(t, catalogv1.Operation_OPERATION_DELETE, r.latest("a").GetOperation())
	require.Equal(t, catalogv1.Operation_OPERATION_DELETE, r.latest("b").GetOperation())
}

func TestWatch_RefusesUnloggedPartition(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ownTables(`SELECT id, name FROM items`)
	r.exec(`DROP TABLE items`)
	r.exec(`CREATE TABLE items (id text, region text, name text, PRIMARY KEY (id, region)) PARTITION BY LIST (region)`)
	r.exec(`CREATE TABLE items_eu PARTITION OF items FOR VALUES IN ('eu')`)
	r.exec(`CREATE UNLOGGED TABLE items_us PARTITION OF items FOR VALUES IN ('us')`)
	r.exec(`CREATE UNLOGGED TABLE items_uk PARTITION OF items FOR VALUES IN ('uk')`)
	found := r.check()
	require.ErrorContains(t, found.Err(),
		"run `ALTER TABLE items_uk SET LOGGED; ALTER TABLE items_us SET LOGGED;`")
	r.exec(`ALTER TABLE items_uk SET LOGGED`)
	r.exec(`ALTER TABLE items_us SET LOGGED`)
	r.start()
	r.exec(`INSERT INTO items VALUES ('a', 'eu', 'A'), ('b', 'us', 'B')`)
	r.waitCaptured()
	require.Equal(t, "A", r.latest("a").GetProduct().GetName())
	require.Equal(t, "B", r.latest("b").GetProduct().GetName())
}

func TestWatch_WarnsOfForeignPartition(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ownTables(`SELECT id, name FROM items`)
	r.exec(`DROP TABLE items`)
	r.exec(`CREATE TABLE items (id text, region text, name text) PARTITION BY LIST (region)`)
	r.exec(`CREATE TABLE items_eu PARTITION OF items FOR VALUES IN ('eu')`)
	r.exec(`ALTER TABLE items REPLICA IDENTITY FULL`)
	r.exec(`ALTER TABLE items_eu REPLICA IDENTITY FULL`)
	r.foreignTable(`items_old PARTITION OF items FOR VALUES IN ('old')`)
	found := r.check()
	require.NoError(t, found.Err())
	require.Contains(t, fmt.Sprint(found.Warnings()), "watched table public.items are foreign tables (items_old)")
	r.start()
	r.exec(`INSERT INTO items VALUES ('a', 'eu', 'A'), ('b', 'eu', 'B')`)
	r.waitCaptured()
	// The wrapper of files refuses a change of the whole table.
	r.exec(`DELETE FROM items WHERE region = 'eu' AND id = 'b'`)
	r.waitCaptured()
	require.Equal(t, "A", r.latest("a").GetProduct().GetName())
	require.Equal(t, catalogv1.Operation_OPERATION_DELETE, r.latest("b").GetOperation())
	require.Equal(t, "C", r.latest("c").GetProduct().GetName(), "a snapshot reads the foreign table")
}

func TestWatch_RefusesChildrenThatCannotBePublished(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ownTables(`SELECT id, name FROM items`)
	r.exec(`CREATE UNLOGGED TABLE items_us (PRIMARY KEY (id)) INHERITS (items)`)
	r.foreignTable(`items_old () INHERITS (items)`)
	found := r.check()
	err := found.Err()
	require.ErrorContains(t, err, "run `ALTER TABLE items_us SET LOGGED;`")
	require.ErrorContains(t, err, "children of watched table public.items are foreign tables (items_old)")
	require.NotContains(t, err.Error(), "ALTER TABLE items_old", "a foreign table has no replica identity")
}

// foreignTable makes a foreign table with the row c, old, C.
func (r *rig) foreignTable(definition string) {
	r.t.Helper()
	r.exec(`CREATE EXTENSION file_fdw; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw`)
	r.exec(`CREATE FOREIGN TABLE ` + definition + ` SERVER files OPTIONS (program 'echo c,old,C', format 'csv')`)
}

// check returns the findings of a check of the catalog database and the mapping.
func (r *rig) check() finding.List {
	r.t.Helper()
	found, err := ingestion.Check(r.t.Context(), r.cfg)
	require.NoError(r.t, err)
	return found
}

func TestWatch_RefusesView(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ownTables(`SELECT id, name FROM items`)
	r.exec(`CREATE VIEW shown AS SELECT id, name FROM items`)
	r.cfg.Mapping.Watch[0].Table = "shown"
	require.ErrorContains(t, r.run(), "shown under catalog.watch is a view")
}

func TestCapture_ContinuesAfterIDTooLongForSubject(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ownTables(`SELECT id, name FROM items`)
	r.start()
	long, gone := strings.Repeat("é", 700), strings.Repeat("ü", 700)
	r.exec(`INSERT INTO items VALUES ($1, 'Long'), ($2, 'Gone')`, long, gone)
	r.waitCaptured()
	r.exec(`DELETE FROM items WHERE id = $1`, gone)
	r.exec(`INSERT INTO items VALUES ('mug', 'Mug')`)
	r.waitCaptured()
	require.Equal(t, "Mug", r.latest("mug").GetProduct().GetName())
	letter := r.dead(long)
	require.Equal(t, topology.ReasonInvalidProduct, letter.GetReason())
	require.True(t, strings.HasPrefix(letter.GetProductId(), long[:500]), "a letter has as much of the id as fits")
	removal := r.latest(gone)
	require.Equal(t, catalogv1.Operation_OPERATION_DELETE, removal.GetOperation())
	require.Equal(t, gone, removal.GetProductId())
}

func TestCapture_ContinuesAfterProductTooLargeForMessage(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ownTables(`SELECT id, name FROM items`)
	r.start()
	// The row is large in a column that does not matter here.
	r.exec(`INSERT INTO items VALUES ('notes', 'Notes', $1)`, strings.Repeat("x", 600<<10))
	r.exec(`UPDATE items SET name = 'Noted', notes = notes || 'y'`)
	// This product is too large itself.
	r.exec(`INSERT INTO items VALUES ('large', 'Large')`)
	r.exec(`INSERT INTO tariffs SELECT 'large-' || i, 'large', m.metadata FROM generate_series(1, 60) i,
		(SELECT jsonb_object_agg('k' || k, repeat('v', 490)) AS metadata FROM generate_series(1, 49) k) m`)
	// The faults of this product would fill a message.
	r.exec(`INSERT INTO items VALUES ('many', 'Many')`)
	r.exec(`INSERT INTO tariffs SELECT 'many-' || i, 'many', '{"a": {}}' FROM generate_series(1, 60) i`)
	r.waitCaptured()
	require.Contains(t, r.dead("many").GetMessage(), "and 40 more")
	require.Equal(t, "Noted", r.latest("notes").GetProduct().GetName())
	require.Empty(t, r.latest("notes").GetRowImages())
	letter := r.dead("large")
	require.Equal(t, topology.ReasonInvalidProduct, letter.GetReason())
	require.Contains(t, letter.GetMessage(), "its 60 prices take")
	require.Contains(t, letter.GetMessage(), "max_payload")
}
