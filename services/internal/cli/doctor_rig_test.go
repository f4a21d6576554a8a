package cli

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/doctor"
	"github.com/driftless-sync/driftless/services/internal/httpserver"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/service"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/pull"
	"github.com/driftless-sync/driftless/services/stripesim"
)

// doctorRig is a healthy mesh in this process, and the settings with which doctor looks at it. It has products in the
// built-in tables, and in tables of its own in the schema shop.
type doctorRig struct {
	*testMesh

	broker *server.Server
	admin  *mesh.Mesh
	// empty is a simulator without webhook endpoints, for faults of these.
	empty    string
	settings map[string]any
	command  doctorCmd
}

// doctorNATS is the configuration of the NATS server. The user weak may do little, mute may not even ask what it may
// do, and bare has no JetStream.
const doctorNATS = `
	jetstream { store_dir: %q, sync_interval: always }
	accounts {
		MESH { jetstream: enabled, users: [
			{ user: admin, password: a }
			{ user: weak, password: w, permissions: { publish: { allow: ["$JS.API.INFO", "$SYS.REQ.USER.INFO"] } } }
			{ user: mute, password: m, permissions: { publish: { allow: ["$JS.API.>"] } } }
		] }
		BARE { users: [ { user: bare, password: b } ] }
	}`

// doctorSchema makes the tables of the schema shop, a publication of them, and a role without special rights.
const doctorSchema = `
	CREATE SCHEMA shop;
	CREATE TABLE shop.products (id text PRIMARY KEY, name text NOT NULL);
	CREATE TABLE shop.prices (id text PRIMARY KEY, product text REFERENCES shop.products, currency text, unit_amount int);
	ALTER TABLE shop.prices REPLICA IDENTITY FULL;
	INSERT INTO shop.products VALUES ('mug', 'Mug'), ('cup', 'Cup');
	INSERT INTO shop.prices VALUES ('mug-eur', 'mug', 'eur', 100), ('cup-eur', 'cup', 'eur', 200);
	CREATE VIEW shop.shown AS SELECT id FROM shop.products;
	CREATE PUBLICATION shop FOR TABLE shop.products, shop.prices WITH (publish_via_partition_root = true);
	CREATE ROLE reader LOGIN PASSWORD 'r' REPLICATION;
	CREATE ROLE plain LOGIN PASSWORD 'p';
	GRANT USAGE ON SCHEMA shop TO reader, plain;
	GRANT SELECT ON ALL TABLES IN SCHEMA shop TO reader, plain;`

func newDoctorRig(t *testing.T) *doctorRig {
	t.Helper()
	r := &doctorRig{testMesh: &testMesh{
		version:   service.Version(),
		t:         t,
		slot:      "doctor",
		listeners: map[string]net.Listener{},
		stops:     map[string]func(){},
	}}
	postgres := localtest.PostgresServer(t, map[string]string{
		"max_replication_slots":  "4",
		"max_slot_wal_keep_size": "8GB",
	})
	r.database = postgres.URL()
	require.NoError(t, r.exec(doctorSchema))
	r.startNATS()
	secret := r.startStripe()
	for _, name := range []string{topology.Ingestion, topology.Push, topology.Reconciliation, topology.Pull} {
		r.launch(name, secret)
	}
	r.settings = map[string]any{
		"database_url": r.database, "slot": r.slot, "nats_url": r.natsURL,
		"stripe_api_key": simulatorKey, "stripe_api_base": r.url("stripe"), "stripe_webhook_secret": secret,
		"token": scriptToken,
	}
	r.command = doctorCmd{
		address:  address{Control: r.url(topology.Reconciliation), Ingest: r.url(topology.Ingestion)},
		Push:     r.url(topology.Push),
		Pull:     r.url(topology.Pull),
		User:     topology.AdminUser,
		Monitors: []string{monitor(t, r.broker)},
		Limit:    30 * time.Second,
	}
	r.waitForRecords()
	return r
}

// waitForRecords waits until each service has written that it runs. On a busy machine that takes longer than doctor
// waits.
func (r *doctorRig) waitForRecords() {
	stores := state.New(r.admin)
	require.Eventually(r.t, func() bool {
		processes, _, err := stores.Processes(r.t.Context(), "default")
		return err == nil && len(processes) >= 4
	}, time.Minute, 20*time.Millisecond, "records of the services")
}

func (r *doctorRig) startNATS() {
	r.broker = localtest.NATSConfig(r.t, doctorNATS, r.t.TempDir())
	r.natsURL = natsUser(r.broker, "admin:a")
	var err error
	r.admin, err = mesh.Connect(r.t.Context(), r.client(topology.AdminUser))
	require.NoError(r.t, err)
	r.t.Cleanup(r.admin.Close)
	r.applyTopology()
}

func (r *doctorRig) applyTopology() {
	require.NoError(r.t,
		topology.Apply(r.t.Context(), r.admin.JetStream(), topology.Options{AllowLowering: true, AllowDataLoss: true}))
}

// natsUser returns the address of a server for a user.
func natsUser(s *server.Server, user string) string {
	return strings.Replace(s.ClientURL(), "://", "://"+user+"@", 1)
}

// monitor serves what the monitoring port of a NATS server serves.
func monitor(t testing.TB, s *server.Server) string {
	t.Helper()
	pages := http.NewServeMux()
	pages.HandleFunc("/varz", s.HandleVarz)
	pages.HandleFunc("/connz", s.HandleConnz)
	web := httptest.NewServer(pages)
	t.Cleanup(web.Close)
	return web.URL
}

// startStripe starts two simulators. The first has an endpoint that leads to pull, whose secret it returns, and one
// event.
func (r *doctorRig) startStripe() (secret string) {
	for _, name := range []string{"stripe", "empty"} {
		cfg := stripesim.Config{
			Listener: r.listen(name),
			Limits:   stripesim.Limits{Off: true},
			Logger:   discard(),
		}
		r.run(name, func(ctx context.Context) error { return stripesim.Run(ctx, cfg) })
	}
	r.sim, r.empty = stripesim.Admin{BaseURL: r.url("stripe")}, r.url("empty")
	require.NoError(r.t, r.listen(topology.Pull).Close())
	return r.createEndpoint(r.sim.BaseURL, stripeapi.NewEndpoint{})
}

// createEndpoint creates an endpoint for this mesh. It leads to pull unless n has another address.
func (r *doctorRig) createEndpoint(stripe string, n stripeapi.NewEndpoint) (secret string) {
	if n.URL == "" {
		n.URL = r.url(topology.Pull) + pull.WebhookPath
	}
	n.Metadata = map[string]string{stripeapi.EndpointAccountKey: "default"}
	e, err := stripeClient(stripe).CreateEndpoint(r.t.Context(), n)
	require.NoError(r.t, err)
	return e.Secret
}

func stripeClient(base string) *stripeapi.Client {
	return stripeapi.New(stripeapi.Config{Key: simulatorKey, Base: base})
}

// launch starts a service with metrics, and waits until it is ready.
func (r *doctorRig) launch(name, secret string) {
	web := httpserver.Config{Listener: r.listen(name), Logger: discard(), Metrics: buildInfo(service.Version())}
	part := r.service(name, web)
	if name == topology.Pull {
		part = func(ctx context.Context) error {
			return pull.Run(ctx, pull.Config{
				Account:        "default",
				NATS:           r.client(name),
				Stripe:         stripeapi.Config{Key: simulatorKey, Base: r.sim.BaseURL},
				WebhookSecrets: []string{secret},
				PollInterval:   time.Hour,
				HTTP:           web,
				Logger:         discard(),
			})
		}
	}
	r.testMesh.run(name, part)
	r.awaitReady(name)
}

func (r *doctorRig) awaitReady(name string) {
	require.Eventually(r.t, func() bool { return isReady(r.t.Context(), r.url(name)+"/readyz") }, scriptTimeout,
		10*time.Millisecond, name)
}

// buildInfo serves the metric with a version, as every process does.
func buildInfo(version string) http.Handler {
	registry := prometheus.NewRegistry()
	gauge := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "driftless_build_info"},
		[]string{"go_version", "version"})
	registry.MustRegister(gauge)
	gauge.WithLabelValues("go1", version).Set(1)
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
}

// fault is something wrong in the mesh or in the settings of doctor.
type fault struct {
	// only are the checks that are made.
	only string
	// settings replace those of the healthy mesh. A nil removes one.
	settings map[string]any
	// command changes the flags.
	command func(*doctorCmd)
	// cause makes the fault, and returns a function that ends it. Nil if the settings or the flags are the fault.
	cause func() (undo func())
	// want are the ids that are found, and no others.
	want []string
	// fix is a part of the fix of one of the findings.
	fix string
}

// look runs doctor with the fault.
func (r *doctorRig) look(t *testing.T, f fault) doctor.Report {
	t.Helper()
	if f.cause != nil {
		if undo := f.cause(); undo != nil {
			defer undo()
		}
	}
	settings := maps.Clone(r.settings)
	for name, value := range f.settings {
		if settings[name] = value; value == nil {
			delete(settings, name)
		}
	}
	text, err := yaml.Marshal(settings)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "driftless.yaml")
	require.NoError(t, os.WriteFile(path, text, 0o600))
	cmd := r.command
	if f.only != "" {
		cmd.Only = strings.Split(f.only, ",")
	}
	if f.command != nil {
		f.command(&cmd)
	}
	c := &cli{File: config.File{Config: path}, Local: config.Local{DataDir: t.TempDir()}}
	report, err := cmd.examine(t.Context(), c, "default")
	require.NoError(t, err)
	return report
}

// sql returns a cause that runs a statement. Its end runs undo.
func (r *doctorRig) sql(do, undo string) func() func() {
	return func() func() {
		require.NoError(r.t, r.exec(do))
		return func() { require.NoError(r.t, r.exec(undo)) }
	}
}

// as returns the address of the mesh's database for another role.
func (r *doctorRig) as(user, password string) string {
	u, err := url.Parse(r.database)
	require.NoError(r.t, err)
	u.User = url.UserPassword(user, password)
	return u.String()
}

// newDatabase creates another database on the same server, and returns its address.
func (r *doctorRig) newDatabase(name, clauses string) string {
	require.NoError(r.t, r.exec("CREATE DATABASE "+name+" "+clauses))
	u, err := url.Parse(r.database)
	require.NoError(r.t, err)
	u.Path = "/" + name
	return u.String()
}

// execIn runs a statement in another database.
func execIn(t testing.TB, database, statement string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), database)
	require.NoError(t, err)
	defer conn.Close(context.WithoutCancel(t.Context()))
	_, err = conn.Exec(t.Context(), statement)
	require.NoError(t, err)
}

// forbid returns a cause that makes the simulator apply a fault.
func (r *doctorRig) forbid(f stripesim.Fault) func() func() {
	return func() func() {
		_, err := r.sim.AddFault(r.t.Context(), f)
		require.NoError(r.t, err)
		return func() { require.NoError(r.t, r.sim.ClearFaults(r.t.Context())) }
	}
}

// proxied returns the address of a proxy before the simulator that changes a header of the answers.
func (r *doctorRig) proxied(name, value string) string {
	to, err := url.Parse(r.sim.BaseURL)
	require.NoError(r.t, err)
	proxy := &httputil.ReverseProxy{
		Rewrite:        func(p *httputil.ProxyRequest) { p.SetURL(to) },
		ModifyResponse: func(resp *http.Response) error { resp.Header.Set(name, value); return nil },
	}
	web := httptest.NewServer(proxy)
	r.t.Cleanup(web.Close)
	return web.URL
}

// shop returns settings with a mapping of the tables in shop. Each pair replaces a text in it.
func shop(pairs ...string) map[string]any {
	const mapping = `
products: SELECT id, name FROM shop.products
prices: SELECT id, product, currency, unit_amount FROM shop.prices
watch: [{table: shop.products, product_id: id}, {table: shop.prices, product_id: product}]
`
	var catalog map[string]any
	if err := yaml.Unmarshal([]byte(strings.NewReplacer(pairs...).Replace(mapping)), &catalog); err != nil {
		panic(fmt.Sprintf("the mapping of a test: %v", err))
	}
	return map[string]any{"catalog": catalog, "publication": "shop"}
}

// with returns settings with more.
func with(settings map[string]any, more map[string]any) map[string]any {
	out := maps.Clone(settings)
	maps.Copy(out, more)
	return out
}

// closedPort is an address at which nobody listens.
const closedPort = "127.0.0.1:1"

func postForm(t testing.TB, address, form string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(form))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+simulatorKey)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode)
}

func deleteEndpoints(t testing.TB, stripe string) {
	t.Helper()
	all, err := stripeClient(stripe).ListEndpoints(t.Context())
	require.NoError(t, err)
	for _, e := range all {
		require.NoError(t, stripeClient(stripe).DeleteEndpoint(t.Context(), e.ID))
	}
}
