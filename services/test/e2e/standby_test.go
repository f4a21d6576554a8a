package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// ingestions are replicas of ingestion as processes, with one database and one NATS server.
type ingestions struct {
	t              *testing.T
	natsURL, dbURL string
	pool           *pgxpool.Pool
	mesh           *mesh.Mesh
	stores         *state.Stores

	mu sync.Mutex
	// live are the versions of the live lane's messages, in the order in which they were stored.
	live []uint64
}

// ingestionProcess is one replica.
type ingestionProcess struct {
	cmd *exec.Cmd
	url string
}

func newIngestions(t *testing.T) *ingestions {
	t.Helper()
	in := &ingestions{t: t}
	in.natsURL, _ = localtest.NATS(t)
	// A replica that does not answer loses the slot soon. The setting for that is the operator's.
	in.dbURL = localtest.Postgres(t)
	in.pool = localtest.Pool(t, in.dbURL)
	in.dbURL += "&wal_sender_timeout=2s"
	var err error
	in.mesh, err = mesh.Connect(t.Context(), mesh.Config{URL: in.natsURL, Name: "test"})
	require.NoError(t, err)
	t.Cleanup(in.mesh.Close)
	in.stores = state.New(in.mesh)
	require.NoError(t, topology.Apply(t.Context(), in.mesh.JetStream(), topology.Options{}))
	consumer, err := in.mesh.JetStream().OrderedConsumer(t.Context(), topology.StreamCatalog,
		jetstream.OrderedConsumerConfig{FilterSubjects: []string{"catalog.default.live.*"}})
	require.NoError(t, err)
	consuming, err := consumer.Consume(func(msg jetstream.Msg) {
		version, _ := strconv.ParseUint(msg.Headers().Get(mesh.VersionHeader), 10, 64)
		in.mu.Lock()
		defer in.mu.Unlock()
		in.live = append(in.live, version)
	})
	require.NoError(t, err)
	t.Cleanup(consuming.Stop)
	return in
}

// checkOrder checks that no older version was stored after a newer one, except a repetition of the same version.
func (in *ingestions) checkOrder() {
	in.t.Helper()
	in.mu.Lock()
	defer in.mu.Unlock()
	for i := 1; i < len(in.live); i++ {
		require.GreaterOrEqual(in.t, in.live[i], in.live[i-1], "live message %d of %d", i, len(in.live))
	}
}

// start starts a replica with additional environment, and returns when it is ready.
func (in *ingestions) start(env ...string) *ingestionProcess {
	in.t.Helper()
	dir, err := programs()
	require.NoError(in.t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(in.t, err)
	address := listener.Addr().String()
	require.NoError(in.t, listener.Close())
	p := &ingestionProcess{url: "http://" + address, cmd: exec.Command(filepath.Join(dir, "ingestion"))}
	p.cmd.Env = append(append(os.Environ(), "NATS_URL="+in.natsURL, "DATABASE_URL="+in.dbURL,
		"DRIFTLESS_SLOT="+in.slot(),
		"DRIFTLESS_INGESTION_ADDR="+address, "DRIFTLESS_LOG_LEVEL=error"), env...)
	p.cmd.Stderr = os.Stderr
	require.NoError(in.t, p.cmd.Start())
	in.t.Cleanup(p.kill)
	in.eventually("ready", func() bool { return p.role() != "" })
	return p
}

func (in *ingestions) slot() string { return "e2e_" + strings.ToLower(in.t.Name()) }

func (in *ingestions) eventually(what string, condition func() bool) {
	in.t.Helper()
	require.Eventually(in.t, condition, patience, 5*time.Millisecond, what)
}

func (in *ingestions) exec(sql string, args ...any) {
	in.t.Helper()
	_, err := in.pool.Exec(in.t.Context(), sql, args...)
	require.NoError(in.t, err)
}

func (in *ingestions) snapshot() string {
	in.t.Helper()
	position, err := in.stores.Record(topology.KeySnapshot, "default").GetString(in.t.Context())
	require.NoError(in.t, err)
	return position
}

// name returns the name that CATALOG wants for a product.
func (in *ingestions) name(product string) string {
	in.t.Helper()
	change, err := in.stores.Desired().Latest(in.t.Context(), "default", product)
	require.NoError(in.t, err)
	return change.GetProduct().GetName()
}

// role returns the role in the answer of /readyz, "" while it is not ready.
func (p *ingestionProcess) role() string {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"/readyz", nil)
	if err != nil {
		return ""
	}
	resp, err := http.DefaultClient.Do(req)
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

// kill ends the process with kill -9.
func (p *ingestionProcess) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// The test repeatedly kills the leader, in the middle of a snapshot and of a stream of changes.
func TestStandby_TakesOverAfterKill(t *testing.T) {
	t.Parallel()
	const products, kills = 12_000, 4
	in := newIngestions(t)
	replicas := []*ingestionProcess{in.start(), in.start(), in.start()}
	// takenOver kills the leader and returns once another replica leads.
	takenOver := func() {
		t.Helper()
		for i, p := range replicas {
			if p.role() == "active" {
				p.kill()
				replicas = slices.Delete(replicas, i, i+1)
				break
			}
		}
		in.eventually("taken over", func() bool {
			return slices.ContainsFunc(replicas, func(p *ingestionProcess) bool { return p.role() == "active" })
		})
	}
	in.exec(`INSERT INTO driftless.products (id, name) SELECT 'p' || i, 'Edition 0' FROM generate_series(1, $1::int) i`,
		products)
	in.eventually("the catalog is captured",
		func() bool { return in.name(fmt.Sprintf("p%d", products)) != "" && in.snapshot() == "done" })

	// This requests a snapshot, as after the loss of a slot. The next leader begins with it.
	require.NoError(t, in.stores.Record(topology.KeySnapshot, "default").PutString(t.Context(), "wanted"))
	takenOver()
	in.eventually("the catalog is being read", func() bool { return strings.HasPrefix(in.snapshot(), "after ") })
	takenOver()
	replicas = append(replicas, in.start(), in.start())
	in.eventually("the catalog is read", func() bool { return in.snapshot() == "done" })
	report := &meshv1.CaptureReport{}
	_, err := in.stores.Capture("default").Get(t.Context(), report)
	require.NoError(t, err)
	require.Less(t, report.GetCompared().GetProducts(), uint64(products), "the reading went on where it was")
	catalog, err := in.mesh.JetStream().Stream(t.Context(), topology.StreamCatalog)
	require.NoError(t, err)
	info, err := catalog.Info(t.Context(), jetstream.WithSubjectFilter("catalog.default.bulk.*"))
	require.NoError(t, err)
	require.Empty(t, info.State.Subjects, "CATALOG had everything as it is")

	last := map[string]string{}
	random := rand.New(rand.NewPCG(1, 2))
	for edit := range 40 * kills {
		for range 5 {
			product, name := fmt.Sprintf("p%d", 1+random.IntN(50)), fmt.Sprintf("Edition %d", edit+1)
			in.exec(`UPDATE driftless.products SET name = $2 WHERE id = $1`, product, name)
			last[product] = name
		}
		if edit%40 == 20 {
			takenOver()
			replicas = append(replicas, in.start())
		}
	}
	for product, name := range last {
		in.eventually(product, func() bool { return in.name(product) == name })
	}
	in.checkOrder()
}

// The test stops the leader with SIGSTOP once it has read a product's state, and continues it long after another
// replica has published a newer one.
func TestStandby_PausedLeaderPublishesNothing(t *testing.T) {
	t.Parallel()
	in := newIngestions(t)
	in.exec(`CREATE TABLE items (id text PRIMARY KEY, name text)`)
	in.exec(`CREATE TABLE tariffs (id text PRIMARY KEY, item text)`)
	in.exec(`ALTER TABLE tariffs REPLICA IDENTITY FULL`)
	in.exec(`INSERT INTO items VALUES ('mug', 'Mug')`)
	mapping := func(where string) string {
		file := filepath.Join(t.TempDir(), "driftless.yaml")
		require.NoError(t, os.WriteFile(file, []byte(`catalog:
  products: SELECT id, name FROM items `+where+`
  prices: SELECT id, item AS product, 'eur' AS currency, 100 AS unit_amount FROM tariffs
  watch:
    - {table: items, product_id: id}
    - {table: tariffs, product_id: item}
`), 0o600))
		return "DRIFTLESS_CONFIG=" + file
	}
	// The read of a state waits for a lock. Its snapshot of the rows is from before the wait.
	paused := in.start(mapping("WHERE (SELECT pg_advisory_xact_lock_shared(7))::text IS NOT NULL"))
	in.eventually("the catalog is read", func() bool { return in.name("mug") == "Mug" && in.snapshot() == "done" })
	gate, err := pgx.Connect(t.Context(), in.dbURL)
	require.NoError(t, err)
	defer gate.Close(context.WithoutCancel(t.Context()))
	_, err = gate.Exec(t.Context(), `SELECT pg_advisory_lock(7)`)
	require.NoError(t, err)
	in.exec(`UPDATE items SET name = 'Old'`)
	in.eventually("the state is being read", func() bool {
		var n int
		require.NoError(t,
			in.pool.QueryRow(t.Context(),
				`SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory' AND datname = current_database()`).Scan(&n))
		return n == 1
	})
	require.NoError(t, paused.cmd.Process.Signal(syscall.SIGSTOP))

	other := in.start(mapping(""))
	in.eventually("taken over", func() bool { return other.role() == "active" })
	in.exec(`UPDATE items SET name = 'New'`)
	in.eventually("published", func() bool { return in.name("mug") == "New" && in.snapshot() == "done" })
	// The lock is free when the paused leader continues.
	_, err = gate.Exec(t.Context(), `SELECT pg_advisory_unlock(7)`)
	require.NoError(t, err)
	require.NoError(t, paused.cmd.Process.Signal(syscall.SIGCONT))
	in.eventually("it stands by", func() bool { return paused.role() == "standby" })
	require.Equal(t, "New", in.name("mug"))
	require.Equal(t, "active", other.role())

	// The paused replica can lead again.
	other.kill()
	in.eventually("taken over", func() bool { return paused.role() == "active" })
	in.exec(`UPDATE items SET name = 'Latest'`)
	in.eventually("published", func() bool { return in.name("mug") == "Latest" })
	in.checkOrder()
}
