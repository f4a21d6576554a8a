// Package e2e_test runs the whole mesh on real servers, and tests it from outside.
package e2e_test

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/client"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/proto/driftless/control/v1/controlv1connect"
	ingestv1 "github.com/driftless-sync/driftless/proto/driftless/ingest/v1"
	"github.com/driftless-sync/driftless/proto/driftless/ingest/v1/ingestv1connect"
	"github.com/driftless-sync/driftless/services/ingestion"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/httpserver"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/pull"
	"github.com/driftless-sync/driftless/services/push"
	"github.com/driftless-sync/driftless/services/reconciliation"
	"github.com/driftless-sync/driftless/services/stripesim"
)

const (
	patience = 4 * time.Minute // what is only slow does not fail
	key      = "sk_test_e2e"
	secret   = "whsec_e2e"
)

// rig is a whole mesh in this process, with a real Postgres, a real NATS server and the simulator. Rigs share nothing
// but Postgres, so tests run in parallel. Those that record spans do not, because a process has one tracer.
type rig struct {
	t       *testing.T
	pool    *pgxpool.Pool
	mesh    *mesh.Mesh
	stores  *state.Stores
	admin   stripesim.Admin
	stripe  *client.API
	ingest  ingestv1connect.IngestServiceClient
	control controlv1connect.ControlServiceClient

	// holdCreations is the setting of a push that starts after it was set.
	holdCreations bool
	// policy and extras are those of push and reconciliation. Their zero values select the defaults.
	policy *catalog.Policy
	extras reconciliation.Extras
	// asProcesses runs the services as processes, which can be killed, with these settings in their environment.
	asProcesses []string
	processes   map[string]*os.Process
	// detours are between the processes and the servers, by server; nil if the processes connect directly.
	detours map[string]*detour

	// catalog is the database of the operator's own tables. mapping defines how they are read, and publication is
	// theirs. All are empty for the built-in tables.
	catalog, publication string
	mapping              *config.Mapping

	// stripeIDs switches the table of Stripe's ids on.
	stripeIDs bool

	// signing are the keys of the services. It is nil if messages are not signed.
	signing map[string]mesh.Signing

	natsAddr, database, slot string
	simURL                   string
	listeners                map[string]net.Listener
	stops                    map[string]func()
}

func newRig(t *testing.T, sim stripesim.Config, with ...func(*rig)) *rig {
	t.Helper()
	r := &rig{t: t, listeners: map[string]net.Listener{}, stops: map[string]func(){}, slot: slotName(t.Name())}
	for _, set := range with {
		set(r)
	}
	// Every service has a user of its own, with the permissions of the topology.
	srv := localtest.NATSConfig(t, `%s
		accounts { D { jetstream: enabled, users: [
			{ user: e2e, password: e2e }
			{ user: ingestion, password: e2e, permissions: $DRIFTLESS_INGESTION }
			{ user: push, password: e2e, permissions: $DRIFTLESS_PUSH }
			{ user: pull, password: e2e, permissions: $DRIFTLESS_PULL }
			{ user: reconciliation, password: e2e, permissions: $DRIFTLESS_RECONCILIATION }
			{ user: topology, password: e2e, permissions: $DRIFTLESS_TOPOLOGY }
		] } }`, topology.PermissionsFile(topology.Options{}))
	r.natsAddr = srv.Addr().String()
	r.database = localtest.Postgres(t)
	r.pool = localtest.Pool(t, r.database)
	var err error
	r.mesh, err = mesh.Connect(t.Context(), r.nats("e2e"))
	require.NoError(t, err)
	t.Cleanup(r.mesh.Close)
	r.stores = state.New(r.mesh)
	admin, err := mesh.Connect(t.Context(), r.nats(topology.AdminUser))
	require.NoError(t, err)
	t.Cleanup(admin.Close)
	require.NoError(t, topology.Apply(t.Context(), admin.JetStream(), topology.Options{}))

	sim.Listener = r.listen("sim")
	r.simURL = "http://" + sim.Listener.Addr().String()
	sim.Webhooks = []stripesim.Webhook{{
		URL:     "http://" + r.listen(topology.Pull).Addr().String() + pull.WebhookPath,
		Secrets: []string{secret},
	}}
	r.run("sim", func(ctx context.Context) error { return stripesim.Run(ctx, sim) })
	r.admin = stripesim.Admin{BaseURL: r.simURL}
	r.stripe = client.New(key,
		&stripe.Backends{API: stripe.GetBackendWithConfig(stripe.APIBackend, &stripe.BackendConfig{
			URL: stripe.String(r.simURL), LeveledLogger: &stripe.LeveledLogger{Level: stripe.LevelNull},
		})})
	r.startAll()
	r.ingest = ingestv1connect.NewIngestServiceClient(http.DefaultClient, r.url(topology.Ingestion))
	r.control = controlv1connect.NewControlServiceClient(http.DefaultClient, r.url(topology.Reconciliation))
	t.Cleanup(func() {
		for _, name := range []string{
			topology.Ingestion, topology.Push, topology.Pull, topology.Reconciliation,
			"sim",
		} {
			r.stop(name)
		}
		require.Eventually(t, func() bool {
			_, err := r.pool.Exec(context.WithoutCancel(t.Context()), "SELECT pg_drop_replication_slot($1)", r.slot)
			return err == nil
		}, patience, 20*time.Millisecond)
	})
	return r
}

// slotName converts a test's name to a valid name of a replication slot.
func slotName(test string) string {
	name := regexp.MustCompile(`[^a-z0-9_]+`).ReplaceAllString(strings.ToLower("e2e_"+test), "_")
	return name[max(0, len(name)-63):]
}

// withPolicy gives push and reconciliation a policy.
func withPolicy(policy *catalog.Policy, extras reconciliation.Extras) func(*rig) {
	return func(r *rig) { r.policy, r.extras = policy, extras }
}

// withMapping makes ingestion read the tables of a database through a mapping.
func withMapping(database, publication string, mapping *config.Mapping) func(*rig) {
	return func(r *rig) { r.catalog, r.publication, r.mapping = database, publication, mapping }
}

// nats returns the configuration of a client that connects as the user with this name.
func (r *rig) nats(name string) mesh.Config {
	return mesh.Config{
		URL:     "nats://" + name + ":e2e@" + r.natsAddr,
		Name:    name,
		Signing: r.signing[name],
		Logger:  slog.New(&refusals{Handler: slog.Default().Handler(), t: r.t, user: name}),
	}
}

// refusals fails the test if NATS refuses a permission. Otherwise a refusal shows as a time-out, or not at all.
type refusals struct {
	slog.Handler

	t    *testing.T
	user string
}

func (r *refusals) Handle(ctx context.Context, record slog.Record) error {
	record.Attrs(func(a slog.Attr) bool {
		if strings.Contains(strings.ToLower(a.Value.String()), "permissions violation") {
			r.t.Errorf("%s: %s; its row in services/mesh/access.go lacks that", r.user, a.Value)
		}
		return true
	})
	return r.Handler.Handle(ctx, record)
}

// listen reserves a port that stays the same when the service restarts.
func (r *rig) listen(name string) net.Listener {
	r.t.Helper()
	addr := "127.0.0.1:0"
	if l, ok := r.listeners[name]; ok {
		addr = l.Addr().String()
		_ = l.Close() // still open if the port was only reserved
	}
	l, err := net.Listen("tcp", addr)
	require.NoError(r.t, err)
	r.listeners[name] = l
	return l
}

func (r *rig) url(name string) string { return "http://" + r.listeners[name].Addr().String() }

func (r *rig) run(name string, run func(context.Context) error) {
	ctx, cancel := context.WithCancel(r.t.Context())
	done := make(chan error, 1)
	go func() {
		err := run(ctx)
		if err != nil {
			// The error is logged here, because a test that waits for the service may end before it stops it.
			slog.Error("a service of the rig ended", "service", name, "error", err)
		}
		done <- err
	}()
	r.stops[name] = sync.OnceFunc(func() {
		cancel()
		require.NoError(r.t, <-done, name)
	})
}

func (r *rig) stop(name string) {
	if stop, ok := r.stops[name]; ok {
		stop()
	}
}

func (r *rig) startAll() {
	r.t.Helper()
	for _, name := range []string{topology.Ingestion, topology.Push, topology.Pull, topology.Reconciliation} {
		r.start(name)
	}
}

// start runs a service and waits until it is ready.
func (r *rig) start(name string) {
	r.t.Helper()
	if r.asProcesses != nil {
		r.spawn(name)
		r.ready(name)
		return
	}
	nats := r.nats(name)
	server := httpserver.Config{Listener: r.listen(name)}
	stripeClient := stripeapi.Config{Key: key, Base: r.simURL}
	switch name {
	case topology.Ingestion:
		r.run(name, func(ctx context.Context) error {
			return ingestion.Run(ctx, ingestion.Config{
				Account: "default", NATS: nats, DatabaseURL: cmp.Or(r.catalog, r.database), Mapping: r.mapping,
				Slot:        r.slot,
				Publication: cmp.Or(r.publication, "driftless"), HTTP: server, StripeIDs: r.stripeIDs,
			})
		})
	case topology.Push:
		r.run(name, func(ctx context.Context) error {
			return push.Run(ctx, push.Config{
				Account:       "default",
				NATS:          nats,
				Stripe:        stripeClient,
				HTTP:          server,
				HoldCreations: r.holdCreations,
				Policy:        r.policy,
			})
		})
	case topology.Pull:
		r.run(name, func(ctx context.Context) error {
			return pull.Run(ctx, pull.Config{
				Account: "default", NATS: nats, Stripe: stripeClient, WebhookSecrets: []string{"whsec_old", secret},
				PollInterval: time.Second, HTTP: server,
			})
		})
	case topology.Reconciliation:
		r.run(name, func(ctx context.Context) error {
			return reconciliation.Run(ctx, reconciliation.Config{
				Account: "default", NATS: nats, LedgerURL: r.database, HTTP: server, GracePeriod: time.Second,
				Policy: r.policy, Extras: r.extras,
			})
		})
	}
	r.ready(name)
}

func (r *rig) ready(name string) {
	r.t.Helper()
	require.Eventually(r.t, func() bool {
		resp, err := http.Get(r.url(name) + "/readyz")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}, patience, 10*time.Millisecond, name)
}

func (r *rig) exec(sql string, args ...any) {
	r.t.Helper()
	_, err := r.pool.Exec(r.t.Context(), sql, args...)
	require.NoError(r.t, err)
}

func (r *rig) upsert(products ...*catalogv1.Product) {
	r.t.Helper()
	_, err := r.ingest.UpsertProducts(r.t.Context(),
		connect.NewRequest(&ingestv1.UpsertProductsRequest{Products: products}))
	require.NoError(r.t, err)
}

// waitConverged waits until everything committed is captured, nothing is in flight and nothing differs.
func (r *rig) waitConverged() {
	r.t.Helper()
	r.waitConvergedWithin(patience)
}

func (r *rig) waitConvergedWithin(atMost time.Duration) {
	r.t.Helper()
	_, err := r.ingest.WaitCaptured(r.t.Context(), connect.NewRequest(&ingestv1.WaitCapturedRequest{}))
	require.NoError(r.t, err)
	calm := 0
	last := ""
	// The loop runs in this goroutine, because testify's would continue after the time is up.
	for deadline := time.Now().Add(atMost); calm < 2; {
		require.True(r.t, time.Now().Before(deadline), "not converged: %s", last)
		// The plan of many thousand products is expensive, so it is read only after the status is calm.
		status, err := r.control.GetStatus(r.t.Context(), connect.NewRequest(&controlv1.GetStatusRequest{}))
		var resp *connect.Response[controlv1.PlanResponse]
		if err == nil && status.Msg.GetPending()+status.Msg.GetDrifted() < 100 {
			resp, err = r.control.Plan(r.t.Context(), connect.NewRequest(&controlv1.PlanRequest{}))
		}
		switch {
		case err != nil:
			last = err.Error()
		case resp == nil:
			calm, last = 0,
				fmt.Sprintf("%d products are pending, %d drifted", status.Msg.GetPending(), status.Msg.GetDrifted())
		case len(resp.Msg.GetProducts()) > 0 || resp.Msg.GetInFlight() > 0:
			calm, last = 0,
				fmt.Sprintf("%d products differ, %d messages in flight", len(resp.Msg.GetProducts()),
					resp.Msg.GetInFlight())
		default:
			calm++
		}
		select {
		case <-r.t.Context().Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (r *rig) history(product string) []*controlv1.HistoryEntry {
	r.t.Helper()
	resp, err := r.control.ListHistory(r.t.Context(),
		connect.NewRequest(&controlv1.ListHistoryRequest{ProductId: product, Limit: 1000}))
	require.NoError(r.t, err)
	return resp.Msg.GetEntries()
}

// stripeProduct reads a product and its active prices from Stripe.
func (r *rig) stripeProduct(id string) (*stripe.Product, map[string]*stripe.Price) {
	r.t.Helper()
	p, err := r.stripe.Products.Get(id, nil)
	require.NoError(r.t, err)
	prices := map[string]*stripe.Price{}
	list := r.stripe.Prices.List(&stripe.PriceListParams{Product: stripe.String(id), Active: stripe.Bool(true)})
	for list.Next() {
		marker := list.Price().Metadata["driftless_price"]
		require.NotContains(r.t, prices, marker, "two active Stripe prices for one catalog price")
		prices[marker] = list.Price()
	}
	require.NoError(r.t, list.Err())
	return p, prices
}

func mug(name, amount string) *catalogv1.Product {
	return &catalogv1.Product{
		Id: "mug", Name: name, DefaultPrice: "mug-one", Metadata: map[string]string{"sku": "M1"},
		Prices: []*catalogv1.Price{
			{Id: "mug-one", Currency: "eur", UnitAmount: amount},
			{Id: "mug-club", Currency: "eur", UnitAmount: "900", Recurring: &catalogv1.Recurring{Interval: "month"}},
		},
	}
}

func product(i int) *catalogv1.Product {
	return &catalogv1.Product{Id: fmt.Sprintf("p%d", i), Name: fmt.Sprintf("Product %d", i)}
}
