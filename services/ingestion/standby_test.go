package ingestion_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"testing"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/ingestion"
	"github.com/driftless-sync/driftless/services/internal/httpserver"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// replica is another ingestion on the rig.
type replica struct {
	url  string
	stop func()
}

// startReplica starts a replica and does not wait for it.
func (r *rig) startReplica(cfg ingestion.Config) *replica {
	r.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(r.t, err)
	cfg.HTTP = httpserver.Config{Listener: listener}
	ctx, cancel := context.WithCancel(r.t.Context())
	done := make(chan error, 1)
	go func() { done <- ingestion.Run(ctx, cfg) }()
	one := &replica{url: "http://" + listener.Addr().String()}
	one.stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(r.t, <-done)
	})
	r.t.Cleanup(one.stop)
	return one
}

// role returns the role that a replica's /readyz reports, "" while it is not ready.
func (one *replica) role() string {
	resp, err := http.Get(one.url + "/readyz")
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	var body struct {
		Role string `json:"role"`
	}
	if resp.StatusCode != http.StatusOK || json.NewDecoder(resp.Body).Decode(&body) != nil {
		return ""
	}
	return body.Role
}

func (r *rig) requireRole(one *replica, role string) {
	r.t.Helper()
	r.eventually(role, func() bool { return one.role() == role })
}

func TestStandby_IsReadyAndServesAPI(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	active := r.startReplica(r.cfg)
	r.requireRole(active, "active")
	standby := r.startReplica(r.cfg)
	r.requireRole(standby, "standby")

	r.url = standby.url
	status, answer := r.call("UpsertProducts", `{"products":[{"id":"mug","name":"Mug"}]}`)
	require.Equal(t, http.StatusOK, status, answer)
	r.waitCaptured()
	captured := r.latest("mug")
	require.Equal(t, "Mug", captured.GetProduct().GetName(), "everything committed before the call is captured")
	var position struct {
		Version uint64 `json:"version,string"`
	}
	_, answer = r.call("WaitCaptured", "{}")
	require.NoError(t, json.Unmarshal([]byte(answer), &position))
	require.GreaterOrEqual(t, position.Version, captured.GetVersion())

	active.stop()
	r.requireRole(standby, "active")
	status, answer = r.call("UpsertProducts", `{"products":[{"id":"mug","name":"Cup"}]}`)
	require.Equal(t, http.StatusOK, status, answer)
	r.waitCaptured()
	require.Equal(t, "Cup", r.latest("mug").GetProduct().GetName())
}

func TestWaitCaptured_OnStandbyEndsWithCallersDeadline(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	r.stop()
	// Another process reads the slot, and captures nothing.
	conn, err := pgconn.Connect(t.Context(), r.cfg.DatabaseURL+"&replication=database")
	require.NoError(t, err)
	defer conn.Close(context.WithoutCancel(t.Context()))
	r.eventually("the slot is free", func() bool {
		return pglogrepl.StartReplication(t.Context(), conn, r.cfg.Slot, 0, pglogrepl.StartReplicationOptions{
			PluginArgs: []string{"proto_version '1'", "publication_names 'driftless'"},
		}) == nil
	})
	standby := r.startReplica(r.cfg)
	r.requireRole(standby, "standby")
	r.url = standby.url
	_, answer := r.call("WaitCaptured", "{}", "Connect-Timeout-Ms", "300")
	require.Contains(t, answer, "deadline_exceeded")
	require.NoError(t, conn.Close(t.Context()))
	r.requireRole(standby, "active")
	r.waitCaptured()
}

func TestRun_ConcurrentFirstStartsSetUpOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var replicas []*replica
	for range 4 {
		replicas = append(replicas, r.startReplica(r.cfg))
	}
	r.eventually("one reads, the others stand by", func() bool {
		roles := map[string]int{}
		for _, one := range replicas {
			roles[one.role()]++
		}
		return roles["active"] == 1 && roles["standby"] == 3
	})
	require.Equal(t, 1, r.slots())
	r.exec(`INSERT INTO driftless.products (id, name) VALUES ('mug', 'Mug')`)
	r.eventually("captured", func() bool { return r.latest("mug").GetProduct().GetName() == "Mug" })
	require.EqualValues(t, 1, r.messages("catalog.default.live.*"))
}

// During a rolling update, the replica that is still the leader would read the catalog with the old mapping.
func TestSnapshot_ReadsChangedMappingOnReplicaThatHasIt(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ownTables(`SELECT id, name FROM items`)
	r.exec(`INSERT INTO items VALUES ('mug', 'Mug')`)
	before := r.startReplica(r.cfg)
	r.requireRole(before, "active")
	r.eventually("read", func() bool { return r.snapshot() == "done" })
	known, err := r.stores.Record(topology.KeyMapping, "default").GetString(t.Context())
	require.NoError(t, err)

	changed := *r.cfg.Mapping
	changed.Products = `SELECT id, upper(name) AS name FROM items`
	cfg := r.cfg
	cfg.Mapping = &changed
	after := r.startReplica(cfg)
	r.requireRole(after, "standby")
	still, err := r.stores.Record(topology.KeyMapping, "default").GetString(t.Context())
	require.NoError(t, err)
	require.Equal(t, known, still)
	before.stop()
	r.requireRole(after, "active")
	r.eventually("read again",
		func() bool { return r.latest("mug").GetProduct().GetName() == "MUG" && r.snapshot() == "done" })
}

// The log beyond the confirmed position is not published again. So only the snapshot reads those products with the new
// mapping.
func TestSnapshot_CoversUnconfirmedChangesAfterMappingChange(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ownTables(`SELECT id, name FROM items`)
	r.exec(`INSERT INTO items VALUES ('mug', 'Mug'), ('pot', 'Pot')`)
	r.start()
	r.eventually("read", func() bool { return r.latest("mug") != nil && r.snapshot() == "done" })
	r.stop()
	// This is the state after a replica was killed before it could confirm the position.
	var version uint64
	for _, id := range []string{"mug", "pot"} {
		r.exec(`UPDATE items SET name = 'new' WHERE id = $1`, id)
		require.NoError(t, r.pool.QueryRow(t.Context(), `SELECT (pg_current_wal_lsn() - '0/0')::bigint`).Scan(&version))
		require.NoError(t,
			r.mesh.Publish(t.Context(), topology.CatalogSubject("default", topology.Live, id), &catalogv1.ProductChange{
				Account: "default", ProductId: id, Version: version, Operation: catalogv1.Operation_OPERATION_UPSERT,
				Source: catalogv1.Source_SOURCE_WAL, Product: &catalogv1.Product{Id: id, Name: "new"},
			}, mesh.WithVersion(version)))
	}

	r.cfg.Mapping.Products = `SELECT id, upper(name) AS name FROM items`
	r.start()
	// The snapshot and the reads of the log may come in either order.
	r.eventually("both are read with the new mapping", func() bool {
		return r.latest("mug").GetProduct().GetName() == "NEW" && r.latest("pot").GetProduct().GetName() == "NEW" &&
			r.snapshot() == "done"
	})
	require.Greater(t, r.latest("pot").GetVersion(), version,
		"push leaves a product alone that it knows at the same version")
}

// One replica reads a page of the catalog and is stopped before it publishes, as by a pause of its machine. Meanwhile
// another replica takes over and publishes the same products.
func TestFence_RefusesReadsFromBeforeTakeover(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.gatedTables()
	r.exec(`INSERT INTO items SELECT 'p' || i, 'older' FROM generate_series(1, 5) i`)
	oldReplica := r.startReplica(r.cfg)
	r.requireRole(oldReplica, "active")
	r.eventually("read", func() bool { return r.snapshot() == "done" })
	gate := r.closeGate()
	r.exec(`UPDATE items SET name = 'old'`)
	held := func() (n int) {
		require.NoError(t,
			r.pool.QueryRow(t.Context(),
				`SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory' AND datname = current_database() AND query LIKE '%items%'`).Scan(&n))
		return n
	}
	r.eventually("the old replica reads the catalog", func() bool { return held() == 1 })

	ungated := *r.cfg.Mapping
	ungated.Products = `SELECT id, name FROM items`
	cfg := r.cfg
	cfg.Mapping = &ungated
	newReplica := r.startReplica(cfg)
	// An old replica that lost its connection by itself has lost the slot to the new one already.
	r.eventually("the new replica is ready", func() bool { return newReplica.role() != "" })
	r.eventually("the new replica has taken over", func() bool {
		if oldReplica.role() == "active" {
			r.exec(`SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1 AND active`,
				r.cfg.Slot)
		}
		return newReplica.role() == "active"
	})
	r.exec(`UPDATE items SET name = 'new'`)
	// Its snapshot and its reads of the log may come in either order, and both have the new name.
	r.eventually("the new replica has published", func() bool {
		return r.latest("p5").GetProduct().GetName() == "new" && r.snapshot() == "done" &&
			r.messages("catalog.default.live.>") >= 5
	})
	stored := r.messages("catalog.default.>")
	_, err := gate.Exec(t.Context(), `SELECT pg_advisory_unlock(7)`)
	require.NoError(t, err)
	r.eventually("the old replica continues", func() bool {
		return oldReplica.role() == "standby" || r.messages("catalog.default.>") > stored
	})
	oldReplica.stop()
	for i := range 5 {
		require.Equal(t, "new", r.latest(fmt.Sprintf("p%d", i+1)).GetProduct().GetName())
	}
	require.Equal(t, stored, r.messages("catalog.default.>"))
	require.Equal(t, catalogv1.Operation_OPERATION_UPSERT, r.latest("p1").GetOperation())
}

// relay forwards connections to a server until it is cut.
type relay struct {
	listener net.Listener
	mu       sync.Mutex
	conns    []net.Conn
	done     sync.WaitGroup
}

func newRelay(t *testing.T, server string) *relay {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	r := &relay{listener: listener}
	r.done.Go(func() {
		for {
			from, err := listener.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("tcp", server)
			if err != nil {
				_ = from.Close()
				continue
			}
			r.mu.Lock()
			r.conns = append(r.conns, from, to)
			r.mu.Unlock()
			for _, way := range [][2]net.Conn{{from, to}, {to, from}} {
				r.done.Go(func() { _, _ = io.Copy(way[0], way[1]) })
			}
		}
	})
	t.Cleanup(r.cut)
	return r
}

// cut ends every connection, and accepts no more.
func (r *relay) cut() {
	_ = r.listener.Close()
	r.mu.Lock()
	for _, c := range r.conns {
		_ = c.Close()
	}
	r.mu.Unlock()
	r.done.Wait()
}

func TestTurn_GivesSlotBackWithoutNATS(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	server, err := url.Parse(r.cfg.NATS.URL)
	require.NoError(t, err)
	relay := newRelay(t, server.Host)
	cfg := r.cfg
	cfg.NATS.URL = "nats://" + relay.listener.Addr().String()
	cutOff := r.startReplica(cfg)
	r.requireRole(cutOff, "active")
	standby := r.startReplica(r.cfg)
	r.requireRole(standby, "standby")
	relay.cut()
	r.exec(`INSERT INTO driftless.products (id, name) VALUES ('mug', 'Mug')`)
	r.eventually("captured by the other", func() bool { return r.latest("mug").GetProduct().GetName() == "Mug" })
	require.Equal(t, "active", standby.role())
	require.Empty(t, cutOff.role(), "it is not ready")
}
