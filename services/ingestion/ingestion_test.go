package ingestion_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/ingestion"
	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/httpserver"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// testTimeout is long, because a busy machine makes nothing fail that is only slow.
const testTimeout = 2 * time.Minute

// rig is a catalog database and a mesh, with ingestion between them.
type rig struct {
	t       *testing.T
	cfg     ingestion.Config
	pool    *pgxpool.Pool
	mesh    *mesh.Mesh
	stores  *state.Stores
	url     string
	stopRun func()
}

func newRig(t *testing.T) *rig {
	t.Helper()
	natsURL, _ := localtest.NATS(t)
	m, err := mesh.Connect(t.Context(), mesh.Config{URL: natsURL, Name: "test"})
	require.NoError(t, err)
	t.Cleanup(m.Close)
	require.NoError(t, topology.Apply(t.Context(), m.JetStream(), topology.Options{}))
	database := localtest.Postgres(t)
	name := "t" + strings.ToLower(strings.NewReplacer("/", "_", "-", "_").Replace(t.Name()))
	name = name[:min(len(name), 60)]
	r := &rig{t: t, pool: localtest.Pool(t, database), mesh: m, stores: state.New(m), cfg: ingestion.Config{
		Account: "default", NATS: mesh.Config{URL: natsURL, Name: "ingestion"}, DatabaseURL: database, Slot: name,
		Publication: "driftless",
	}}
	t.Cleanup(func() {
		r.stop()
		r.dropSlot()
	})
	return r
}

// dropSlot drops the slot, after the server has ended the connection that read it.
func (r *rig) dropSlot() {
	r.t.Helper()
	require.Eventually(r.t, func() bool {
		_, err := r.pool.Exec(context.WithoutCancel(r.t.Context()),
			"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1", r.cfg.Slot)
		return err == nil
	}, testTimeout, 10*time.Millisecond)
}

func (r *rig) start() {
	r.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(r.t, err)
	r.url = "http://" + listener.Addr().String()
	cfg := r.cfg
	cfg.HTTP = httpserver.Config{Listener: listener}
	ctx, cancel := context.WithCancel(r.t.Context())
	done := make(chan error, 1)
	go func() { done <- ingestion.Run(ctx, cfg) }()
	r.stopRun = sync.OnceFunc(func() {
		cancel()
		require.NoError(r.t, <-done)
	})
	require.Eventually(r.t, func() bool {
		select {
		case err := <-done:
			done <- err
			require.NoError(r.t, err, "ingestion ended")
			return true
		default:
		}
		resp, err := http.Get(r.url + "/readyz")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}, testTimeout, 10*time.Millisecond)
}

func (r *rig) stop() {
	if r.stopRun != nil {
		r.stopRun()
	}
}

func (r *rig) exec(sql string, args ...any) {
	r.t.Helper()
	_, err := r.pool.Exec(r.t.Context(), sql, args...)
	require.NoError(r.t, err)
}

// call makes a call of the API, and returns the status and the answer.
func (r *rig) call(method, body string, headers ...string) (int, string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost,
		r.url+"/driftless.ingest.v1.IngestService/"+method, strings.NewReader(body))
	require.NoError(r.t, err)
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(r.t, err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	require.NoError(r.t, err)
	return resp.StatusCode, string(answer)
}

func (r *rig) waitCaptured() {
	r.t.Helper()
	status, answer := r.call("WaitCaptured", "{}")
	require.Equal(r.t, http.StatusOK, status, answer)
}

func (r *rig) latest(product string) *catalogv1.ProductChange {
	r.t.Helper()
	c, err := r.stores.Desired().Latest(r.t.Context(), "default", product)
	require.NoError(r.t, err)
	return c
}

func (r *rig) dead(product string) *meshv1.DeadLetter {
	r.t.Helper()
	stream, err := r.mesh.JetStream().Stream(r.t.Context(), topology.StreamDead)
	require.NoError(r.t, err)
	msg, err := stream.GetLastMsgForSubject(r.t.Context(), topology.DeadSubject(topology.Ingestion, "default", product))
	if err != nil {
		return nil
	}
	l := &meshv1.DeadLetter{}
	require.NoError(r.t, proto.Unmarshal(msg.Data, l))
	return l
}

func (r *rig) subjects(filter string) int { return len(r.messagesBySubject(filter)) }

// messages returns the number of messages that CATALOG keeps.
func (r *rig) messages(filter string) (n uint64) {
	for _, of := range r.messagesBySubject(filter) {
		n += of
	}
	return n
}

// messagesBySubject returns the number of messages that CATALOG keeps, by subject.
func (r *rig) messagesBySubject(filter string) map[string]uint64 {
	r.t.Helper()
	stream, err := r.mesh.JetStream().Stream(r.t.Context(), topology.StreamCatalog)
	require.NoError(r.t, err)
	info, err := stream.Info(r.t.Context(), jetstream.WithSubjectFilter(filter))
	require.NoError(r.t, err)
	return info.State.Subjects
}

func TestCapture_PublishesCompleteProducts(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	r.exec(`INSERT INTO driftless.products (id, name) VALUES ('mug', 'Mug')`)
	r.exec(`INSERT INTO driftless.prices (id, product, currency, unit_amount) VALUES ('mug-eur', 'mug', 'eur', 1400)`)
	r.waitCaptured()
	c := r.latest("mug")
	require.Equal(t, catalogv1.Operation_OPERATION_UPSERT, c.GetOperation())
	require.Equal(t, catalogv1.Source_SOURCE_WAL, c.GetSource())
	require.Equal(t, "Mug", c.GetProduct().GetName())
	require.Len(t, c.GetProduct().GetPrices(), 1)
	require.Equal(t, "1400", c.GetProduct().GetPrices()[0].GetUnitAmount())
	require.Empty(t, c.GetUnmanagedFields())
	require.NotEmpty(t, c.GetRowImages())

	before := c.GetVersion()
	r.exec(`UPDATE driftless.products SET name = 'Cup' WHERE id = 'mug'`)
	r.waitCaptured()
	c = r.latest("mug")
	require.Greater(t, c.GetVersion(), before)
	image := c.GetRowImages()[0]
	require.Equal(t, "Mug", image.GetOldValues()["name"])
	require.Equal(t, "Cup", image.GetNewValues()["name"])
	require.Equal(t, []string{"id", "name", "updated_at"}, slices.Sorted(maps.Keys(image.GetNewValues())),
		"the changed columns and the id")
	require.Empty(t, image.GetNullColumns())

	r.exec(`DELETE FROM driftless.products WHERE id = 'mug'`)
	r.waitCaptured()
	require.Equal(t, catalogv1.Operation_OPERATION_DELETE, r.latest("mug").GetOperation())
}

func TestCapture_PublishesLargeTransaction(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	const n = 10_000
	r.exec(`INSERT INTO driftless.products (id, name) SELECT 'p' || i, 'Product ' || i FROM generate_series(1, $1::int) i`, n)
	r.waitCaptured()
	require.Equal(t, n, r.subjects("catalog.default.live.*"))
	r.exec(`UPDATE driftless.products SET name = name || ' (new)'`)
	r.waitCaptured()
	for _, id := range []string{"p1", "p5000", "p10000"} {
		require.True(t, strings.HasSuffix(r.latest(id).GetProduct().GetName(), "(new)"), id)
	}
}

func TestCapture_LosesNothingOverRestart(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	r.exec(`INSERT INTO driftless.products (id, name) VALUES ('a', 'A')`)
	r.waitCaptured()
	r.stop()
	r.exec(`INSERT INTO driftless.products (id, name) VALUES ('b', 'B')`)
	r.exec(`UPDATE driftless.products SET name = 'A2' WHERE id = 'a'`)
	r.start()
	r.waitCaptured()
	require.Equal(t, "A2", r.latest("a").GetProduct().GetName())
	require.Equal(t, "B", r.latest("b").GetProduct().GetName())
	require.Equal(t, catalogv1.Source_SOURCE_WAL, r.latest("b").GetSource(),
		"changes made while ingestion was down come from the log")
}

func TestCapture_LosesNothingOverBrokenConnections(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	for i := range 20 {
		r.exec(`INSERT INTO driftless.products (id, name) VALUES ($1, 'X')`, fmt.Sprintf("p%d", i))
		if i%5 == 4 {
			r.exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'driftless-ingestion' AND datname = current_database()`)
		}
	}
	require.Eventually(t, func() bool { return r.subjects("catalog.default.live.*") == 20 }, testTimeout,
		50*time.Millisecond)
}

func TestSnapshot_ReadsWholeCatalogAtFirstStart(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	r.stop()
	// A lost slot is like a first start.
	r.dropSlot()
	r.exec(`INSERT INTO driftless.products (id, name) SELECT 'p' || i, 'P' FROM generate_series(1, 2500) i`)
	r.start()
	require.Eventually(t, func() bool { return r.subjects("catalog.default.bulk.*") == 2500 }, testTimeout,
		20*time.Millisecond)
	require.Equal(t, catalogv1.Source_SOURCE_SNAPSHOT, r.latest("p1").GetSource())
	r.exec(`UPDATE driftless.products SET name = 'new' WHERE id = 'p7'`)
	r.waitCaptured()
	require.Equal(t, "new", r.latest("p7").GetProduct().GetName(),
		"a live change has a higher version than the snapshot")
	r.stop()

	// The next snapshot removes a product that was deleted while nothing captured.
	r.dropSlot()
	r.exec(`DELETE FROM driftless.products WHERE id IN ('p1', 'p7')`)
	r.start()
	for _, id := range []string{"p1", "p7"} {
		require.Eventually(t,
			func() bool { return r.latest(id).GetOperation() == catalogv1.Operation_OPERATION_DELETE }, testTimeout,
			20*time.Millisecond, id)
	}
	require.Equal(t, catalogv1.Operation_OPERATION_UPSERT, r.latest("p2").GetOperation())
}

func TestSnapshot_ContinuesAfterInterruption(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	r.stop()
	r.exec(`INSERT INTO driftless.products (id, name) SELECT 'p' || lpad(i::text, 5, '0'), 'P' FROM generate_series(1, 3000) i`)
	r.dropSlot()
	r.start()
	require.Eventually(t, func() bool { return r.subjects("catalog.default.bulk.*") >= 3000 }, testTimeout,
		time.Millisecond)
	// The report must know when the snapshot began. If it does not, everything is read again.
	require.Eventually(t, func() bool { return r.snapshot() == "done" }, testTimeout, time.Millisecond)
	r.stop()
	// This is the state after a kill between two pages.
	require.NoError(t, r.stores.Record(topology.KeySnapshot, "default").PutString(t.Context(), "after p02000"))
	r.start()
	require.Eventually(t, func() bool { return r.snapshot() == "done" }, testTimeout, 10*time.Millisecond)
	require.EqualValues(t, 1000, r.report().GetCompared().GetProducts(), "only the missing pages are read")
}

func TestCapture_ArchivesTruncatedProducts(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	r.exec(`INSERT INTO driftless.products (id, name) VALUES ('a', 'A'), ('b', 'B')`)
	r.waitCaptured()
	r.exec(`TRUNCATE driftless.products CASCADE`)
	for _, id := range []string{"a", "b"} {
		require.Eventually(t,
			func() bool { return r.latest(id).GetOperation() == catalogv1.Operation_OPERATION_DELETE }, testTimeout,
			20*time.Millisecond, id)
	}
}

func TestCapture_MakesDeadLettersOfInvalidRows(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	metadata := map[string]string{}
	for i := range 51 {
		metadata[fmt.Sprintf("k%d", i)] = "v"
	}
	tooMuch, err := json.Marshal(metadata)
	require.NoError(t, err)
	tx, err := r.pool.Begin(t.Context())
	require.NoError(t, err)
	for _, s := range []struct {
		sql  string
		args []any
	}{
		{`INSERT INTO driftless.products (id, name) VALUES ('good', 'Good')`, nil},
		{`INSERT INTO driftless.products (id, name) VALUES ('long', $1)`, []any{strings.Repeat("x", 5001)}},
		{`INSERT INTO driftless.products (id, name, metadata) VALUES ('keys', 'K', $1)`, []any{string(tooMuch)}},
		{`INSERT INTO driftless.products (id, name) VALUES ('coin', 'C')`, nil},
		{`INSERT INTO driftless.prices (id, product, currency, unit_amount) VALUES ('coin-1', 'coin', 'z1', 1)`, nil},
		{`INSERT INTO driftless.products (id, name, metadata) VALUES ('shape', 'S', '{"a": {"b": 1}}')`, nil},
	} {
		_, err := tx.Exec(t.Context(), s.sql, s.args...)
		require.NoError(t, err, s.sql)
	}
	require.NoError(t, tx.Commit(t.Context()))
	r.waitCaptured()
	require.Equal(t, "Good", r.latest("good").GetProduct().GetName())
	for id, want := range map[string][2]string{
		"long": {"name", "5000"}, "keys": {"metadata", "50"}, "coin": {`prices["coin-1"].currency`, "z1"},
		"shape": {"metadata", "must be"},
	} {
		letter := r.dead(id)
		require.NotNil(t, letter, id)
		require.Equal(t, topology.ReasonInvalidProduct, letter.GetReason())
		require.Contains(t, letter.GetField(), want[0], id)
		require.Contains(t, letter.GetMessage(), want[1], id)
		require.Contains(t, letter.GetMessage(), id)
		require.Nil(t, r.latest(id), id)
	}
}

func TestCapture_ReadsOperatorsOwnTables(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.exec(`CREATE SCHEMA shop`)
	r.exec(`CREATE TABLE shop.items (sku int PRIMARY KEY, title text, gone boolean DEFAULT false)`)
	r.exec(`CREATE TABLE shop.tariffs (code text PRIMARY KEY, sku int, cents numeric)`)
	r.exec(`ALTER TABLE shop.tariffs REPLICA IDENTITY FULL`)
	r.cfg.Mapping = &config.Mapping{
		Products: `SELECT sku AS id, title AS name, NOT gone AS active FROM shop.items -- ours`,
		Prices:   `SELECT code AS id, sku AS product, 'eur' AS currency, cents AS unit_amount FROM shop.tariffs;`,
		Watch: []config.WatchedTable{
			{Table: "shop.items", ProductID: "sku"},
			{Table: "shop.tariffs", ProductID: "sku"},
		},
	}
	r.start()
	r.exec(`INSERT INTO shop.items VALUES (1, 'One'), (2, 'Two')`)
	r.exec(`INSERT INTO shop.tariffs VALUES ('t', 1, 1250.00)`)
	r.waitCaptured()
	c := r.latest("1")
	require.Len(t, c.GetProduct().GetPrices(), 1, "%v", c)
	require.Equal(t, "1250", c.GetProduct().GetPrices()[0].GetUnitAmount())
	require.Contains(t, c.GetUnmanagedFields(), "description")
	require.Contains(t, c.GetUnmanagedFields(), "prices.nickname")
	require.NotContains(t, c.GetUnmanagedFields(), "active")

	r.exec(`UPDATE shop.tariffs SET sku = 2, cents = 13 WHERE code = 't'`)
	r.waitCaptured()
	require.Empty(t, r.latest("1").GetProduct().GetPrices(), "the product that lost the price")
	require.Len(t, r.latest("2").GetProduct().GetPrices(), 1, "the product that got it")

	status, answer := r.call("UpsertProducts", `{"products":[{"id":"x","name":"X"}]}`)
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, answer, "operator's own tables")
}

func TestRun_RefusesBadSettingsWithFix(t *testing.T) {
	start := func(r *rig) error {
		ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
		defer cancel()
		cfg := r.cfg
		cfg.HTTP = httpserver.Config{Addr: "127.0.0.1:0"}
		return ingestion.Run(ctx, cfg)
	}
	own := func(m config.Mapping) *config.Mapping {
		if m.Products == "" {
			m.Products = `SELECT id, name FROM items`
		}
		if m.Prices == "" {
			m.Prices = `SELECT id, item AS product, currency, amount AS unit_amount FROM tariffs`
		}
		if m.Watch == nil {
			m.Watch = []config.WatchedTable{{Table: "items", ProductID: "id"}}
		}
		return &m
	}
	r := newRig(t)
	r.exec(`CREATE TABLE items (id text PRIMARY KEY, name text, weight float8)`)
	r.exec(`CREATE TABLE tariffs (id text PRIMARY KEY, item text, currency text, amount numeric)`)
	for name, c := range map[string]struct {
		mapping *config.Mapping
		want    []string
	}{
		"missing column": {
			own(config.Mapping{Products: `SELECT id FROM items`}),
			[]string{`products query does not return column "name"`},
		},
		"missing amount": {
			own(config.Mapping{Prices: `SELECT id, item AS product, currency FROM tariffs`}),
			[]string{"prices query returns no amount"},
		},
		"misspelt column": {
			own(config.Mapping{Products: `SELECT id, name, name AS descript FROM items`}),
			[]string{`column "descript"`, `did you mean "description"?`},
		},
		"float amount": {
			own(
				config.Mapping{
					Prices: `SELECT id, item AS product, currency, 1.5::float8 AS unit_amount FROM tariffs`,
				}),
			[]string{"double precision", "never float"},
		},
		"refused query": {
			own(config.Mapping{Products: `SELECT id, name FROM nowhere`}),
			[]string{"products query is refused", "nowhere"},
		},
		"missing table": {
			own(config.Mapping{Watch: []config.WatchedTable{{Table: "nowhere", ProductID: "id"}}}),
			[]string{"watched table nowhere does not exist"},
		},
		"missing column id": {
			own(config.Mapping{Watch: []config.WatchedTable{{Table: "items", ProductID: "sku"}}}),
			[]string{"has no column sku"},
		},
		"replica identity": {
			own(config.Mapping{Watch: []config.WatchedTable{{Table: "tariffs", ProductID: "item"}}}),
			[]string{"no usable replica identity", "ALTER TABLE public.tariffs REPLICA IDENTITY FULL;"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r.cfg.Mapping = c.mapping
			err := start(r)
			for _, want := range c.want {
				require.ErrorContains(t, err, want)
			}
		})
	}
	r.cfg.Mapping = nil
	t.Run("unreachable database", func(t *testing.T) {
		bad := *r
		bad.cfg.DatabaseURL = "postgres://someone:hidden@127.0.0.1:1/x"
		err := start(&bad)
		require.ErrorContains(t, err, "cannot reach the catalog database")
		require.NotContains(t, err.Error(), "hidden")
	})
	t.Run("role without replication", func(t *testing.T) {
		r.exec(`CREATE ROLE plain LOGIN PASSWORD 'plain'`)
		t.Cleanup(func() { r.exec(`DROP OWNED BY plain; DROP ROLE plain`) })
		bad := *r
		cfg, err := pgxpool.ParseConfig(r.cfg.DatabaseURL)
		require.NoError(t, err)
		bad.cfg.DatabaseURL = fmt.Sprintf("postgres://plain:plain@127.0.0.1:%d/%s", cfg.ConnConfig.Port,
			cfg.ConnConfig.Database)
		require.ErrorContains(t, start(&bad), "GRANT CREATE ON DATABASE")
		bad.cfg.Mapping = own(config.Mapping{})
		r.exec(`GRANT SELECT ON items, tariffs TO plain`)
		require.ErrorContains(t, start(&bad), `ALTER ROLE "plain" REPLICATION;`)
		r.exec(`ALTER ROLE plain REPLICATION`)
		err = start(&bad)
		require.ErrorContains(t, err, "may not create or alter publication")
		require.ErrorContains(t, err,
			`CREATE PUBLICATION "driftless" FOR TABLE public.items WITH (publish = 'insert, update, delete, truncate', publish_via_partition_root = true`)
	})
	t.Run("wal_level", func(t *testing.T) {
		server := localtest.PostgresServer(t, map[string]string{"wal_level": "replica"})
		bad := *r
		bad.cfg.DatabaseURL = server.URL()
		require.ErrorContains(t, start(&bad), "ALTER SYSTEM SET wal_level = logical;")
	})
}
