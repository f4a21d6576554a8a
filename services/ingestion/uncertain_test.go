package ingestion_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// Every uncertainty about the log ends in a comparison of the tables. Each of these tests removes something from the
// log, and waits until CATALOG is right.

func (r *rig) requireName(product, name string) {
	r.t.Helper()
	r.eventually(product+" is "+name, func() bool { return r.latest(product).GetProduct().GetName() == name })
}

func (r *rig) requireGone(product string) {
	r.t.Helper()
	r.eventually(product+" is gone",
		func() bool { return r.latest(product).GetOperation() == catalogv1.Operation_OPERATION_DELETE })
}

// waitCapturedAfter waits until the report says that everything committed before the call is captured.
func (r *rig) waitCapturedAfter(at time.Time) {
	r.t.Helper()
	r.eventually("captured", func() bool {
		report := r.report()
		return report.GetState() == meshv1.CaptureState_CAPTURE_STATE_READING &&
			report.GetCapturedUpTo().AsTime().After(at)
	})
}

func TestCapture_RecreatesDroppedPublication(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ownTables(`SELECT id, name FROM items`)
	r.exec(`INSERT INTO items VALUES ('mug', 'Mug')`)
	r.start()
	r.requireName("mug", "Mug")
	r.exec(`DROP PUBLICATION driftless`)
	r.exec(`UPDATE items SET name = 'Mug 2'`)
	r.requireName("mug", "Mug 2")
	r.exec(`UPDATE items SET name = 'Mug 3'`)
	r.requireName("mug", "Mug 3")
}

func TestCapture_AddsTableBackToPublication(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ownTables(`SELECT id, name FROM items`)
	r.exec(`INSERT INTO items VALUES ('mug', 'Mug')`)
	r.start()
	r.requireName("mug", "Mug")
	r.exec(`ALTER PUBLICATION driftless DROP TABLE items`)
	r.exec(`UPDATE items SET name = 'Mug 2'`)
	r.requireName("mug", "Mug 2")
}

// requireCompared waits for a comparison with a reason. One that follows writes by itself has another reason, and comes
// too late: the captured time would be beyond a change that nothing captured.
func (r *rig) requireCompared(reason string) {
	r.t.Helper()
	r.eventually("compared because "+reason,
		func() bool { return strings.Contains(r.report().GetCompared().GetReason(), reason) })
}

func TestCapture_AddsTablesOfSchemaBackToPublication(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ownTables(`SELECT id, name FROM items`)
	r.exec(`INSERT INTO items VALUES ('mug', 'Mug')`)
	r.exec(`CREATE PUBLICATION driftless FOR TABLES IN SCHEMA public WITH (publish_via_partition_root)`)
	r.start()
	r.requireName("mug", "Mug")
	r.waitCapturedAfter(time.Now())
	r.exec(`ALTER PUBLICATION driftless DROP TABLES IN SCHEMA public`)
	r.exec(`UPDATE items SET name = 'Mug 2'`)
	r.requireCompared("the schema of the catalog changed")
	require.Equal(t, "Mug 2", r.latest("mug").GetProduct().GetName())
	r.exec(`UPDATE items SET name = 'Mug 3'`)
	r.waitCaptured()
	require.Equal(t, "Mug 3", r.latest("mug").GetProduct().GetName())
	require.Equal(t, catalogv1.Source_SOURCE_WAL, r.latest("mug").GetSource())
}

func TestCapture_ComparesAfterWriteToPartitionThatWasDetached(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ownTables(`SELECT id, name FROM items`)
	r.exec(`DROP TABLE items`)
	r.exec(`CREATE TABLE items (id text, name text, PRIMARY KEY (id)) PARTITION BY RANGE (id)`)
	r.exec(`CREATE TABLE items_a PARTITION OF items FOR VALUES FROM ('a') TO ('h')`)
	r.exec(`INSERT INTO items VALUES ('cup', 'Cup')`)
	r.start()
	r.requireName("cup", "Cup")
	r.waitCapturedAfter(time.Now())
	r.exec(`BEGIN; ALTER TABLE items DETACH PARTITION items_a; UPDATE items_a SET name = 'Cup 2';
		ALTER TABLE items ATTACH PARTITION items_a FOR VALUES FROM ('a') TO ('h'); COMMIT`)
	r.requireCompared("the schema of the catalog changed")
	require.Equal(t, "Cup 2", r.latest("cup").GetProduct().GetName())
}

// The log has no old row of an UPDATE that leaves the replica identity as it was.
func TestCapture_ComparesAfterUpdateBesideIdentity(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ownTables(`SELECT id, name FROM items`)
	r.exec(`INSERT INTO items VALUES ('mug', 'Mug'), ('cup', 'Cup')`)
	r.exec(`CREATE TABLE tariffs_eu (PRIMARY KEY (id)) INHERITS (tariffs)`)
	r.exec(`INSERT INTO tariffs VALUES ('mug-eur', 'mug'); INSERT INTO tariffs_eu VALUES ('mug-eu', 'mug')`)
	r.start()
	prices := func(product string) int { return len(r.latest(product).GetProduct().GetPrices()) }
	r.eventually("read", func() bool { return prices("mug") == 2 && r.latest("cup") != nil })
	r.waitCapturedAfter(time.Now())
	// The identity of a child is that of its own.
	r.exec(`UPDATE tariffs_eu SET item = 'cup'`)
	r.waitCaptured()
	require.Equal(t, 1, prices("cup"))
	require.Equal(t, 1, prices("mug"))
	r.requireCompared("the log does not have item of the old row of public.tariffs_eu")
	// The schema is the same after the transaction as before.
	r.exec(`BEGIN; ALTER TABLE tariffs REPLICA IDENTITY DEFAULT; UPDATE ONLY tariffs SET item = 'cup';
		ALTER TABLE tariffs REPLICA IDENTITY FULL; COMMIT`)
	r.waitCaptured()
	require.Equal(t, 2, prices("cup"))
	require.Zero(t, prices("mug"))
	// The old row is in the log again.
	r.waitCapturedAfter(time.Now())
	r.exec(`UPDATE ONLY tariffs SET item = 'mug'`)
	r.waitCaptured()
	require.Equal(t, 1, prices("mug"))
	require.Equal(t, catalogv1.Source_SOURCE_WAL, r.latest("cup").GetSource())
}

func TestCapture_ReplacesForeignRowFilter(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ownTables(`SELECT id, name FROM items`)
	r.exec(`INSERT INTO items VALUES ('mug', 'Mug')`)
	r.exec(`CREATE PUBLICATION driftless FOR TABLE items WHERE (name <> 'Mug 2'), tariffs WITH (publish_via_partition_root = true)`)
	r.start()
	r.requireName("mug", "Mug")
	r.exec(`UPDATE items SET name = 'Mug 2'`)
	r.waitCaptured()
	require.Equal(t, "Mug 2", r.latest("mug").GetProduct().GetName())
	require.Equal(t, catalogv1.Source_SOURCE_WAL, r.latest("mug").GetSource())
}

func TestCapture_FollowsTableThatReplacesWatchedOne(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ownTables(`SELECT id, name FROM items`)
	r.exec(`INSERT INTO items VALUES ('mug', 'Mug'), ('cup', 'Cup')`)
	r.start()
	r.requireName("cup", "Cup")
	r.exec(`CREATE TABLE items_new (LIKE items INCLUDING ALL)`)
	r.exec(`ALTER TABLE items_new REPLICA IDENTITY FULL`)
	r.exec(`INSERT INTO items_new SELECT id, name || ' (new)' FROM items`)
	r.exec(`BEGIN; ALTER TABLE items RENAME TO items_old; ALTER TABLE items_new RENAME TO items; COMMIT`)
	r.requireName("cup", "Cup (new)")
	r.exec(`UPDATE items SET name = 'Mug 3' WHERE id = 'mug'`)
	r.requireName("mug", "Mug 3")
}

func TestCapture_FollowsAttachedAndDetachedPartitions(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ownTables(`SELECT id, name FROM items`)
	r.exec(`DROP TABLE items`)
	r.exec(`CREATE TABLE items (id text, name text, PRIMARY KEY (id)) PARTITION BY RANGE (id)`)
	r.exec(`CREATE TABLE items_a PARTITION OF items FOR VALUES FROM ('a') TO ('h')`)
	r.exec(`INSERT INTO items VALUES ('cup', 'Cup')`)
	r.start()
	r.requireName("cup", "Cup")
	r.exec(`CREATE TABLE items_t (LIKE items INCLUDING ALL)`)
	r.exec(`INSERT INTO items_t VALUES ('urn', 'Urn')`)
	r.exec(`ALTER TABLE items ATTACH PARTITION items_t FOR VALUES FROM ('t') TO ('zz')`)
	r.requireName("urn", "Urn")
	r.exec(`ALTER TABLE items DETACH PARTITION items_t`)
	r.requireGone("urn")
	r.exec(`TRUNCATE items_a`)
	r.requireGone("cup")
}

func TestCapture_ComparesAfterValuesMissingInLog(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.exec(`CREATE TYPE grade AS ENUM ('plain', 'fancy')`)
	r.ownTables(`SELECT id, name, kind AS description FROM items`)
	r.exec(`ALTER TABLE items ADD kind grade DEFAULT 'fancy', ADD n int DEFAULT 1`)
	r.exec(`INSERT INTO items (id, name) VALUES ('mug', 'Mug')`)
	r.start()
	r.requireName("mug", "Mug")
	r.exec(`ALTER TYPE grade RENAME VALUE 'fancy' TO 'posh'`)
	r.eventually("posh", func() bool { return r.latest("mug").GetProduct().GetDescription() == "posh" })
	r.exec(`ALTER TABLE items ALTER COLUMN name TYPE varchar(40) USING upper(name)`)
	r.requireName("mug", "MUG")
}

func TestCapture_ContinuesAfterIDTypeChange(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ownTables(`SELECT id, name FROM items`)
	r.exec(`DROP TABLE items; CREATE TABLE items (id int PRIMARY KEY, name text)`)
	r.cfg.Mapping.Prices = `SELECT id, item AS product, 'eur' AS currency, 100 AS unit_amount FROM tariffs`
	r.exec(`INSERT INTO items VALUES (1, 'One')`)
	r.start()
	r.requireName("1", "One")
	r.exec(`ALTER TABLE items ALTER COLUMN id TYPE text`)
	r.exec(`INSERT INTO items VALUES ('two', 'Two')`)
	r.requireName("two", "Two")
	// The value comes from a text column, and is not an id of the rows' type any more.
	r.exec(`INSERT INTO tariffs VALUES ('t', 'none')`)
	r.exec(`UPDATE items SET name = 'Uno' WHERE id = '1'`)
	r.requireName("1", "Uno")
}

// This is the ordinary migration: stop, rename, adapt the mapping, start. The log has rows from before.
func TestCapture_ReadsRecordsFromBeforeColumnRename(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ownTables(`SELECT id, name FROM items`)
	r.exec(`INSERT INTO items VALUES ('mug', 'Mug')`)
	r.start()
	r.requireName("mug", "Mug")
	r.stop()
	r.exec(`INSERT INTO tariffs VALUES ('mug-eur', 'mug')`)
	r.exec(`ALTER TABLE tariffs RENAME COLUMN item TO product`)
	r.exec(`UPDATE items SET name = 'Mug 2'`)
	r.cfg.Mapping.Prices = `SELECT id, product, 'eur' AS currency, 100 AS unit_amount FROM tariffs`
	r.cfg.Mapping.Watch[1].ProductID = "product"
	r.start()
	r.eventually("both arrive", func() bool {
		p := r.latest("mug").GetProduct()
		return p.GetName() == "Mug 2" && len(p.GetPrices()) == 1
	})
}

func TestCapture_StopsAndReportsQueryThatFailsForAll(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ownTables(`SELECT id, name FROM items`)
	r.exec(`INSERT INTO items VALUES ('mug', 'Mug')`)
	r.start()
	r.requireName("mug", "Mug")
	r.exec(`ALTER TABLE items RENAME COLUMN name TO title`)
	r.exec(`UPDATE items SET title = 'Mug 2'`)
	r.eventually("reported", func() bool {
		report := r.report()
		return report.GetState() == meshv1.CaptureState_CAPTURE_STATE_STOPPED && strings.Contains(report.GetReason(),
			`column "name" does not exist`)
	})
	r.exec(`ALTER TABLE items RENAME COLUMN title TO name`)
	r.requireName("mug", "Mug 2")
}

func TestCapture_ContinuesBesideFailingRow(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ownTables(`SELECT id, name FROM items`)
	r.cfg.Mapping.Prices = `SELECT id, item AS product, 'eur' AS currency, (metadata->>'cents')::int AS unit_amount FROM tariffs`
	r.exec(`INSERT INTO items SELECT i, 'I' FROM unnest(ARRAY['cup', 'mug', 'pot']) i`)
	r.exec(`INSERT INTO tariffs SELECT id || '-eur', id, '{"cents": 1}' FROM items`)
	r.start()
	r.requireName("pot", "I")
	r.exec(`UPDATE tariffs SET metadata = '{"cents": "12,50"}' WHERE id = 'cup-eur'`)
	r.exec(`UPDATE items SET name = 'J'`)
	r.requireName("pot", "J")
	r.requireName("mug", "J")
	letter := r.dead("cup")
	require.Equal(t, topology.ReasonQueryFailed, letter.GetReason())
	require.Contains(t, letter.GetMessage(), `prices query fails: invalid input syntax for type integer: "12,50"`)
	require.Equal(t, "I", r.latest("cup").GetProduct().GetName())
	// A comparison adds nothing to the dead letter. Once the row is correct, capture continues with its product.
	r.exec(`UPDATE tariffs SET metadata = '{"cents": 2}' WHERE id = 'cup-eur'`)
	r.requireName("cup", "J")
}

func TestCapture_IgnoresRowsThatAreNotProducts(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ownTables(`SELECT id, name FROM items WHERE notes IS NULL`)
	r.exec(`INSERT INTO items VALUES ('mug', 'Mug')`)
	r.start()
	r.requireName("mug", "Mug")
	before := r.messages("catalog.default.>")
	r.exec(`INSERT INTO items SELECT 'post-' || i, 'Post', 'a post' FROM generate_series(1, 3000) i`)
	r.exec(`UPDATE items SET name = 'Mug 2' WHERE id = 'mug'`)
	r.waitCaptured()
	require.Equal(t, before+1, r.messages("catalog.default.>"))
	// A row that was a product is removed.
	r.exec(`UPDATE items SET notes = 'x' WHERE id = 'mug'`)
	r.requireGone("mug")
}

func TestCapture_StopsWhenRowSecurityWouldHideRows(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ownTables(`SELECT id, name FROM items`)
	r.exec(`INSERT INTO items VALUES ('mug', 'Mug')`)
	role := fmt.Sprintf("reader_%d", time.Now().UnixNano())
	r.exec(`CREATE ROLE ` + role + ` LOGIN REPLICATION PASSWORD 'x'`)
	r.t.Cleanup(func() {
		_, err := r.pool.Exec(context.WithoutCancel(t.Context()), `DROP OWNED BY `+role+`; DROP ROLE `+role)
		require.NoError(t, err)
	})
	r.exec(`GRANT SELECT ON items, tariffs TO ` + role)
	r.exec(`CREATE PUBLICATION driftless FOR TABLE items, tariffs WITH (publish_via_partition_root = true)`)
	cfg, err := pgx.ParseConfig(r.cfg.DatabaseURL)
	require.NoError(t, err)
	r.cfg.DatabaseURL = fmt.Sprintf("postgres://%s:x@127.0.0.1:%d/%s?sslmode=disable", role, cfg.Port, cfg.Database)
	r.start()
	r.requireName("mug", "Mug")
	r.exec(`ALTER TABLE items ENABLE ROW LEVEL SECURITY`)
	r.exec(`UPDATE items SET name = 'Mug 2'`)
	r.eventually("reported", func() bool {
		report := r.report()
		return report.GetState() == meshv1.CaptureState_CAPTURE_STATE_STOPPED && strings.Contains(report.GetReason(),
			"row")
	})
	require.Equal(t, "Mug", r.latest("mug").GetProduct().GetName(), "not removed")
	r.stop()
	require.ErrorContains(t, r.run(), `BYPASSRLS`)
}

func TestCapture_DetectsAnotherHistory(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ownTables(`SELECT id, name FROM items`)
	r.exec(`INSERT INTO items VALUES ('mug', 'Mug')`)
	r.start()
	r.requireName("mug", "Mug")
	r.waitCapturedAfter(time.Now())
	r.stop()
	// This is the state after the restore of a volume: versions up to here were captured, but the log has not reached
	// them.
	var end uint64
	require.NoError(t, r.pool.QueryRow(t.Context(), `SELECT (pg_current_wal_lsn() - '0/0')::bigint`).Scan(&end))
	captured := end + 1<<30
	revision, err := r.stores.History("default").GetAt(t.Context(), &meshv1.CatalogHistory{})
	require.NoError(t, err)
	_, err = r.stores.History("default").CompareAndPut(t.Context(),
		&meshv1.CatalogHistory{Version: captured, CommittedAt: timestamppb.Now()}, revision)
	require.NoError(t, err)
	r.exec(`ALTER TABLE items REPLICA IDENTITY FULL`)
	r.exec(`UPDATE items SET name = 'Mug 2'`)
	r.start()
	r.requireName("mug", "Mug 2")
	r.exec(`UPDATE items SET name = 'Mug 3'`)
	r.requireName("mug", "Mug 3")
	require.Greater(t, r.latest("mug").GetVersion(), captured, "versions continue above the captured ones")
}

func TestCapture_DetectsReplacedTransaction(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ownTables(`SELECT id, name FROM items`)
	r.exec(`INSERT INTO items VALUES ('mug', 'Mug'), ('cup', 'Cup')`)
	r.start()
	r.requireName("cup", "Cup")
	r.waitCapturedAfter(time.Now())
	r.stop()
	// The slot is before a captured transaction, and another one is in its place.
	r.exec(`UPDATE items SET name = 'Mug 2' WHERE id = 'mug'`)
	var at uint64
	require.NoError(t, r.pool.QueryRow(t.Context(), `SELECT (pg_current_wal_lsn() - '0/0')::bigint`).Scan(&at))
	r.exec(`CREATE TABLE noise AS SELECT g FROM generate_series(1, 1000) g`)
	r.exec(`UPDATE items SET name = 'Cup 2' WHERE id = 'cup'`)
	revision, err := r.stores.History("default").GetAt(t.Context(), &meshv1.CatalogHistory{})
	require.NoError(t, err)
	_, err = r.stores.History("default").CompareAndPut(t.Context(),
		&meshv1.CatalogHistory{Version: at + 8, CommittedAt: timestamppb.Now()}, revision)
	require.NoError(t, err)
	r.start()
	r.requireName("mug", "Mug 2")
	r.requireName("cup", "Cup 2")
	r.eventually("reported",
		func() bool { return strings.Contains(r.report().GetCompared().GetReason(), "earlier state") })
}

func TestCapture_RepublishesAfterPurgeOfCatalog(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ownTables(`SELECT id, name FROM items`)
	r.exec(`INSERT INTO items VALUES ('mug', 'Mug'), ('cup', 'Cup')`)
	r.start()
	r.requireName("cup", "Cup")
	r.waitCapturedAfter(time.Now())
	stream, err := r.mesh.JetStream().Stream(t.Context(), topology.StreamCatalog)
	require.NoError(t, err)
	require.NoError(t, stream.Purge(t.Context()))
	require.Nil(t, r.latest("cup"))
	r.requireName("cup", "Cup")
	r.exec(`DELETE FROM items WHERE id = 'cup'`)
	r.requireGone("cup")
	r.stop()
	// The same while nothing runs.
	require.NoError(t, stream.Purge(t.Context()))
	r.start()
	r.requireName("mug", "Mug")
}

func TestCapture_ReportsTransactionThatBlocksFirstStart(t *testing.T) {
	r := newRig(t)
	r.ownTables(`SELECT id, name FROM items`)
	r.exec(`INSERT INTO items VALUES ('mug', 'Mug')`)
	conn, err := pgx.Connect(t.Context(), r.cfg.DatabaseURL)
	require.NoError(t, err)
	defer conn.Close(context.WithoutCancel(t.Context()))
	_, err = conn.Exec(t.Context(), `BEGIN; CREATE TABLE open (i int)`)
	require.NoError(t, err)
	one := r.startReplica(r.cfg)
	defer one.stop()
	r.eventually("reported", func() bool {
		report := r.report()
		return report.GetState() == meshv1.CaptureState_CAPTURE_STATE_STARTING &&
			strings.Contains(report.GetReason(), fmt.Sprintf("the transaction of process %d", conn.PgConn().PID()))
	})
	_, err = conn.Exec(t.Context(), `COMMIT`)
	require.NoError(t, err)
	r.requireName("mug", "Mug")
}

func TestCapture_ReportsLockedTable(t *testing.T) {
	r := newRig(t)
	r.ownTables(`SELECT id, name FROM items`)
	r.exec(`INSERT INTO items VALUES ('mug', 'Mug')`)
	r.start()
	r.waitCapturedAfter(time.Now())
	conn, err := pgx.Connect(t.Context(), r.cfg.DatabaseURL)
	require.NoError(t, err)
	defer conn.Close(context.WithoutCancel(t.Context()))
	_, err = conn.Exec(t.Context(), `BEGIN; LOCK TABLE tariffs IN ACCESS EXCLUSIVE MODE`)
	require.NoError(t, err)
	r.exec(`UPDATE items SET name = 'Mug 2'`)
	committed := time.Now()
	r.eventually("reported", func() bool {
		return strings.Contains(r.report().GetReason(),
			fmt.Sprintf("a lock that process %d holds", conn.PgConn().PID()))
	})
	require.True(t, r.report().GetCapturedUpTo().AsTime().Before(committed),
		"not captured, and not reported as captured")
	_, err = conn.Exec(t.Context(), `COMMIT`)
	require.NoError(t, err)
	r.waitCapturedAfter(committed)
	require.Equal(t, "Mug 2", r.latest("mug").GetProduct().GetName())
}

func TestCapture_StopsWhenFirstSnapshotRefusesAll(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ownTables(`SELECT id, name FROM items`)
	r.start()
	r.waitCapturedAfter(time.Now())
	r.stop()
	// Reset everything except the check of rows, which a known mapping passes.
	r.exec(`INSERT INTO items SELECT 'p' || i, repeat('x', 6000) FROM generate_series(1, 60) i`)
	require.NoError(t, r.stores.Capture("default").Put(t.Context(), &meshv1.CaptureReport{}))
	r.dropSlot()
	one := r.startReplica(r.cfg)
	defer one.stop()
	r.eventually("reported", func() bool {
		report := r.report()
		return report.GetState() == meshv1.CaptureState_CAPTURE_STATE_STOPPED && strings.Contains(report.GetReason(),
			"all of the first 50")
	})
	require.Zero(t, r.messages("catalog.default.>"))
	require.Nil(t, r.dead("p1"))
	r.exec(`UPDATE items SET name = 'Short'`)
	r.requireName("p60", "Short")
}

func TestRun_AcceptsAnotherServerOnlyByID(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ownTables(`SELECT id, name FROM items`)
	r.exec(`INSERT INTO items VALUES ('mug', 'Mug')`)
	require.NoError(t, r.stores.Record(topology.KeyOrigin, "default").PutString(t.Context(), "7000000000000000000"))
	err := r.run()
	require.ErrorContains(t, err, "another Postgres server")
	_, id, ok := strings.Cut(err.Error(), "DRIFTLESS_ACCEPT_DATABASE=")
	require.True(t, ok, err)
	id, _, _ = strings.Cut(id, ";")
	r.cfg.AcceptDatabase = id
	r.start()
	r.requireName("mug", "Mug")
}

func TestRun_ReportsAllFaultsAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ownTables(`SELECT id, nam AS name FROM items`)
	r.exec(`CREATE VIEW shown AS SELECT id, name FROM items; CREATE UNLOGGED TABLE fast (id text PRIMARY KEY); CREATE TABLE bare (id text)`)
	r.exec(`CREATE TABLE made (n int PRIMARY KEY, id text GENERATED ALWAYS AS ('x' || 'y') STORED); ALTER TABLE made REPLICA IDENTITY FULL`)
	for _, table := range []string{"shown", "fast", "bare", "made", "missing"} {
		r.cfg.Mapping.Watch = append(r.cfg.Mapping.Watch, config.WatchedTable{Table: table, ProductID: "id"})
	}
	err := r.run()
	for _, want := range []string{
		`column "nam" does not exist`, "public.shown under catalog.watch is a view",
		"ALTER TABLE public.fast SET LOGGED;",
		"ALTER TABLE public.bare REPLICA IDENTITY FULL;", "watched table missing does not exist",
	} {
		require.ErrorContains(t, err, want)
	}
}

func TestCapture_KeepsTablesOfForeignPublication(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ownTables(`SELECT id, name FROM items`)
	r.exec(`CREATE TABLE elsewhere (id int PRIMARY KEY); CREATE SCHEMA others; CREATE TABLE others.thing (id int PRIMARY KEY)`)
	r.exec(`CREATE PUBLICATION driftless FOR TABLE elsewhere, items WHERE (id <> 'mug'), TABLES IN SCHEMA others WITH (publish_via_partition_root = true)`)
	r.exec(`INSERT INTO items VALUES ('mug', 'Mug')`)
	r.start()
	r.requireName("mug", "Mug")
	r.exec(`INSERT INTO elsewhere VALUES (1); INSERT INTO others.thing VALUES (1)`)
	r.exec(`UPDATE items SET name = 'Mug 2'`)
	r.waitCaptured()
	require.Equal(t, "Mug 2", r.latest("mug").GetProduct().GetName())
	var tables []string
	require.NoError(t,
		r.pool.QueryRow(t.Context(),
			`SELECT array_agg(tablename::text ORDER BY 1) FROM pg_publication_tables WHERE pubname = 'driftless'`).Scan(
			&tables))
	require.ElementsMatch(t, []string{"elsewhere", "items", "tariffs", "thing"}, tables)
}

func TestCapture_PublishesRemovalRightAfterInsert(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ownTables(`SELECT id, name FROM items`)
	r.start()
	// The two transactions follow each other directly.
	for i := range 20 {
		id := fmt.Sprint("p", i)
		r.exec(`INSERT INTO items VALUES ($1, 'P')`, id)
		r.exec(`DELETE FROM items WHERE id = $1`, id)
	}
	r.waitCaptured()
	for i := range 20 {
		if latest := r.latest(fmt.Sprint("p", i)); latest != nil {
			require.Equal(t, catalogv1.Operation_OPERATION_DELETE, latest.GetOperation())
		}
	}
}

func TestCapture_ComparesAfterSchemaChangeAndRevert(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ownTables(`SELECT id, name FROM items`)
	r.exec(`INSERT INTO items VALUES ('mug', 'Mug')`)
	r.start()
	r.waitCapturedAfter(time.Now())
	finished := r.report().GetCompared().GetFinishedAt().AsTime()
	r.exec(`ALTER TABLE items RENAME COLUMN notes TO remarks`)
	r.eventually("detected", func() bool {
		return r.snapshot() != "done" || r.report().GetCompared().GetFinishedAt().AsTime().After(finished)
	})
	r.exec(`ALTER TABLE items RENAME COLUMN remarks TO notes`)
	r.eventually("compared for it", func() bool {
		compared := r.report().GetCompared()
		return compared.GetFinishedAt().AsTime().After(finished) && strings.Contains(compared.GetReason(),
			"schema of the catalog changed")
	})
}
