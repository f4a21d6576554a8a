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

// replica is one more ingestion on the rig.
type replica struct {
	url  string
	stop func()
}

// begin starts a replica, and does not wait for it.
func (r *rig) begin(cfg ingestion.Config) *replica {
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

// role is what a replica's /readyz says; "" while it is not ready.
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

func (r *rig) plays(one *replica, role string) {
	r.t.Helper()
	r.eventually(role, func() bool { return one.role() == role })
}

func TestAStandbyIsReadyAndServesTheAPI(t *testing.T) {
	r := newRig(t)
	active := r.begin(r.cfg)
	r.plays(active, "active")
	standby := r.begin(r.cfg)
	r.plays(standby, "standby")

	r.url = standby.url
	status, answer := r.call("UpsertProducts", `{"products":[{"id":"mug","name":"Mug"}]}`)
	require.Equal(t, http.StatusOK, status, answer)
	r.waitCaptured()
	captured := r.newest("mug")
	require.Equal(t, "Mug", captured.GetProduct().GetName(), "what was committed before the call is captured")
	var position struct {
		Version uint64 `json:"version,string"`
	}
	_, answer = r.call("WaitCaptured", "{}")
	require.NoError(t, json.Unmarshal([]byte(answer), &position))
	require.GreaterOrEqual(t, position.Version, captured.GetVersion())

	active.stop()
	r.plays(standby, "active")
	status, answer = r.call("UpsertProducts", `{"products":[{"id":"mug","name":"Cup"}]}`)
	require.Equal(t, http.StatusOK, status, answer)
	r.waitCaptured()
	require.Equal(t, "Cup", r.newest("mug").GetProduct().GetName())
}

func TestAWaitOnAStandbyEndsWithTheCallersPatience(t *testing.T) {
	r := newRig(t)
	r.start()
	r.stop()
	// Somebody reads the slot, and captures nothing.
	conn, err := pgconn.Connect(t.Context(), r.cfg.DatabaseURL+"&replication=database")
	require.NoError(t, err)
	defer conn.Close(context.WithoutCancel(t.Context()))
	r.eventually("the slot is free", func() bool {
		return pglogrepl.StartReplication(t.Context(), conn, r.cfg.Slot, 0, pglogrepl.StartReplicationOptions{
			PluginArgs: []string{"proto_version '1'", "publication_names 'driftless'"},
		}) == nil
	})
	standby := r.begin(r.cfg)
	r.plays(standby, "standby")
	r.url = standby.url
	_, answer := r.call("WaitCaptured", "{}", "Connect-Timeout-Ms", "300")
	require.Contains(t, answer, "deadline_exceeded")
	require.NoError(t, conn.Close(t.Context()))
	r.plays(standby, "active")
	r.waitCaptured()
}

func TestFirstStartsAtTheSameTimeMakeEverythingOnce(t *testing.T) {
	r := newRig(t)
	var replicas []*replica
	for range 4 {
		replicas = append(replicas, r.begin(r.cfg))
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
	r.eventually("captured", func() bool { return r.newest("mug").GetProduct().GetName() == "Mug" })
	require.EqualValues(t, 1, r.messages("catalog.default.live.*"))
}

// A rolling update to a changed mapping: the one whose turn it still is would read the catalog by the old one.
func TestAChangedMappingIsReadByTheReplicaThatHasIt(t *testing.T) {
	r := newRig(t)
	r.own(`SELECT id, name FROM items`)
	r.exec(`INSERT INTO items VALUES ('mug', 'Mug')`)
	before := r.begin(r.cfg)
	r.plays(before, "active")
	r.eventually("read", func() bool { return r.snapshot() == "done" })
	known, err := r.mesh.Record(topology.KeyMapping, "default").GetString(t.Context())
	require.NoError(t, err)

	changed := *r.cfg.Mapping
	changed.Products = `SELECT id, upper(name) AS name FROM items`
	cfg := r.cfg
	cfg.Mapping = &changed
	after := r.begin(cfg)
	r.plays(after, "standby")
	still, err := r.mesh.Record(topology.KeyMapping, "default").GetString(t.Context())
	require.NoError(t, err)
	require.Equal(t, known, still)
	before.stop()
	r.plays(after, "active")
	r.eventually("read again",
		func() bool { return r.newest("mug").GetProduct().GetName() == "MUG" && r.snapshot() == "done" })
}

// The log beyond the confirmed position is not published again, so that only the reading of the whole catalog brings
// those products into the new mapping.
func TestAMappingThatChangesOverACrashReachesWhatWasPublishedButNotConfirmed(t *testing.T) {
	r := newRig(t)
	r.own(`SELECT id, name FROM items`)
	r.exec(`INSERT INTO items VALUES ('mug', 'Mug'), ('pot', 'Pot')`)
	r.start()
	r.eventually("read", func() bool { return r.newest("mug") != nil && r.snapshot() == "done" })
	r.stop()
	// As a replica leaves it that is killed before it could confirm the position.
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
	r.eventually("both are read by the new mapping", func() bool {
		return r.newest("mug").GetProduct().GetName() == "NEW" && r.newest("pot").GetProduct().GetName() == "NEW"
	})
	require.Equal(t, catalogv1.Source_SOURCE_SNAPSHOT, r.newest("pot").GetSource())
	require.Greater(t, r.newest("pot").GetVersion(), version,
		"push leaves a product alone that it knows at the same version")
}

// One replica reads a page of the catalog, and is held up between the reading and the publishing, as by a pause of its
// machine, until another has taken over and has published the same products.
func TestWhatWasReadBeforeAnotherTookOverIsNotPublished(t *testing.T) {
	r := newRig(t)
	r.gated()
	r.exec(`INSERT INTO items SELECT 'p' || i, 'older' FROM generate_series(1, 5) i`)
	elder := r.begin(r.cfg)
	r.plays(elder, "active")
	r.eventually("read", func() bool { return r.snapshot() == "done" })
	gate := r.shut()
	r.exec(`UPDATE items SET name = 'old'`)
	held := func() (n int) {
		require.NoError(t,
			r.pool.QueryRow(t.Context(),
				`SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory' AND datname = current_database() AND query LIKE '%items%'`).Scan(&n))
		return n
	}
	r.eventually("the elder reads the catalog", func() bool { return held() == 1 })

	ungated := *r.cfg.Mapping
	ungated.Products = `SELECT id, name FROM items`
	cfg := r.cfg
	cfg.Mapping = &ungated
	younger := r.begin(cfg)
	r.plays(younger, "standby")
	r.eventually("the younger has taken over", func() bool {
		if elder.role() == "active" {
			r.exec(`SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1 AND active`,
				r.cfg.Slot)
		}
		return younger.role() == "active"
	})
	r.exec(`UPDATE items SET name = 'new'`)
	// What it reads of the whole catalog, and what it reads of the log: either may come first, and hold the new name.
	r.eventually("the younger has published", func() bool {
		return r.newest("p5").GetProduct().GetName() == "new" && r.snapshot() == "done" &&
			r.messages("catalog.default.live.>") >= 5
	})
	stored := r.messages("catalog.default.>")
	_, err := gate.Exec(t.Context(), `SELECT pg_advisory_unlock(7)`)
	require.NoError(t, err)
	r.eventually("the elder goes on", func() bool {
		return elder.role() == "standby" || r.messages("catalog.default.>") > stored
	})
	elder.stop()
	for i := range 5 {
		require.Equal(t, "new", r.newest(fmt.Sprintf("p%d", i+1)).GetProduct().GetName())
	}
	require.Equal(t, stored, r.messages("catalog.default.>"))
	require.Equal(t, catalogv1.Operation_OPERATION_UPSERT, r.newest("p1").GetOperation())
}

// relay passes connections on to a server until it is cut.
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

// cut ends every connection, and takes no more.
func (r *relay) cut() {
	_ = r.listener.Close()
	r.mu.Lock()
	for _, c := range r.conns {
		_ = c.Close()
	}
	r.mu.Unlock()
	r.done.Wait()
}

func TestAReplicaThatIsCutOffFromNATSGivesTheSlotBack(t *testing.T) {
	r := newRig(t)
	server, err := url.Parse(r.cfg.NATS.URL)
	require.NoError(t, err)
	relay := newRelay(t, server.Host)
	cfg := r.cfg
	cfg.NATS.URL = "nats://" + relay.listener.Addr().String()
	cutOff := r.begin(cfg)
	r.plays(cutOff, "active")
	standby := r.begin(r.cfg)
	r.plays(standby, "standby")
	relay.cut()
	r.exec(`INSERT INTO driftless.products (id, name) VALUES ('mug', 'Mug')`)
	r.eventually("captured by the other", func() bool { return r.newest("mug").GetProduct().GetName() == "Mug" })
	require.Equal(t, "active", standby.role())
	require.Empty(t, cutOff.role(), "it is not ready")
}
