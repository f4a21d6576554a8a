package cli

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/ingestion"
	"github.com/driftless-sync/driftless/services/internal/auth"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/guard"
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

// Secrets in a script's mesh.
const (
	scriptSecret = "whsec_script"
	scriptToken  = "token-of-the-script"
	// scriptReader and scriptPipeline are tokens with names: reader, with the role read, and ci, with the role operate.
	scriptReader   = "token-of-the-reader-K3QJ5XAVWM"
	scriptPipeline = "token-of-the-pipeline-K3QJ5XAVWM"
)

// scriptAuth are the tokens that the APIs accept.
func scriptAuth(t testing.TB) auth.Settings {
	t.Helper()
	reader, err := auth.HashToken(scriptReader)
	require.NoError(t, err)
	pipeline, err := auth.HashToken(scriptPipeline)
	require.NoError(t, err)
	return auth.Settings{Token: scriptToken, Tokens: auth.Entries{
		{Name: "reader", Role: auth.Read, Hash: reader},
		{Name: "ci", Role: auth.Operate, Hash: pipeline},
	}.String()}
}

// scriptTimeout is the timeout of everything that a script waits for.
const scriptTimeout = time.Minute

// meshes counts the meshes of this process. Slots need names of their own, because all meshes share one Postgres.
var meshes atomic.Int64

// testMesh is a whole mesh in this process: NATS, a database, the simulator and the four services.
type testMesh struct {
	t       testing.TB
	natsURL string
	// version is that of the services, "devel" if it is empty.
	version  string
	database string
	slot     string
	sim      stripesim.Admin

	// policy, guard and holdCreations are what the script asked for.
	policy        *catalog.Policy
	guard         guard.Config
	holdCreations bool
	// mapping reads tables of the script's own. Nil means the built-in tables.
	mapping *config.Mapping

	listeners map[string]net.Listener
	stops     map[string]func()
}

// newTestMesh starts a mesh that stops when the test ends. The options are those of the command mesh: see set.
func newTestMesh(t testing.TB, options []string) *testMesh {
	t.Helper()
	m := &testMesh{
		t:         t,
		slot:      fmt.Sprintf("script_%d", meshes.Add(1)),
		listeners: map[string]net.Listener{},
		stops:     map[string]func(){},
	}
	for _, o := range options {
		m.set(o)
	}
	m.natsURL, m.stops["nats"] = localtest.StartNATS(t)
	admin, err := mesh.Connect(t.Context(), m.client(topology.AdminUser))
	require.NoError(t, err)
	require.NoError(t, topology.Apply(t.Context(), admin.JetStream(), topology.Options{}))
	// Stripe's events were read before, so pull does not begin with a scan.
	anHourAgo, stores := time.Now().Add(-time.Hour), state.New(admin)
	require.NoError(t, stores.Record(topology.KeyEvents, "default").PutString(t.Context(),
		"@"+strconv.FormatInt(anHourAgo.Unix(), 10)))
	require.NoError(t, stores.Record(topology.KeyPoll, "default").Put(t.Context(),
		&meshv1.PollReport{ReadUpTo: timestamppb.New(anHourAgo)}))
	admin.Close()
	m.database = localtest.Postgres(t)
	if m.mapping != nil {
		require.NoError(t, m.exec(mappedShopTables))
	}
	m.startSimulator()
	for _, name := range []string{topology.Ingestion, topology.Push, topology.Pull, topology.Reconciliation} {
		m.start(name)
	}
	return m
}

// set sets an option of the command mesh.
func (m *testMesh) set(option string) {
	var err error
	switch option {
	case "report":
		// Drift is only reported.
		m.policy, err = catalog.NewPolicy(catalog.Report, nil)
	case "report description":
		// Drift of descriptions is only reported. All other drift is repaired.
		m.policy, err = catalog.NewPolicy(catalog.Repair,
			map[string]catalog.Rule{"description": {Owner: catalog.OwnerCatalog, Action: catalog.Report}})
	case "guard":
		// Dangerous changes of prices are held, and every archived product as long as there are fewer than 100.
		m.guard = guard.Config{
			AmountChange:   50,
			ZeroAmount:     true,
			NoActivePrice:  true,
			NoDefaultPrice: true,
			Products:       guard.Limit{Share: 0.01},
		}
	case "allow8":
		// It follows guard. Eight products may be archived.
		m.guard.Products.Least = 8
	case "mapped":
		// The catalog has the tables of shopMapping.
		m.mapping = shopMapping()
	case "hold":
		// Nothing is created in Stripe.
		m.holdCreations = true
	default:
		err = fmt.Errorf("the command mesh has no option %q", option)
	}
	require.NoError(m.t, err)
}

// startSimulator starts the simulator. It sends its events to the port that pull will have.
func (m *testMesh) startSimulator() {
	listener := m.listen("stripe")
	cfg := stripesim.Config{
		Listener: listener,
		Limits:   stripesim.Limits{Off: true},
		Logger:   discard(),
		Webhooks: []stripesim.Webhook{{
			URL:     "http://" + m.listen(topology.Pull).Addr().String() + pull.WebhookPath,
			Secrets: []string{scriptSecret},
		}},
	}
	m.run("stripe", func(ctx context.Context) error { return stripesim.Run(ctx, cfg) })
	m.sim = stripesim.Admin{BaseURL: m.url("stripe")}
	require.NoError(m.t, m.listeners[topology.Pull].Close())
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

func (m *testMesh) client(name string) mesh.Config {
	return mesh.Config{
		URL: m.natsURL, Name: name, Version: m.version, Settings: scriptSettings[name], Logger: discard(),
	}
}

// scriptSettings are what services announce. Other services announce nothing, as those of an earlier version do.
var scriptSettings = map[string][]*meshv1.Setting{topology.Push: {
	{Name: "slot", Value: "driftless", Default: "driftless", Set: true, Origin: "default"},
	{Name: "stripe-api-key", Secret: true, Set: true, Origin: "secret_file", At: "/run/secrets/key"},
	{Name: "stripe-rate", Value: "50", Default: "0", Set: true, Origin: "file", At: "driftless.yaml:3:1"},
}}

// listen returns a listener whose port stays the same when the service restarts.
func (m *testMesh) listen(name string) net.Listener {
	addr := "127.0.0.1:0"
	if l, ok := m.listeners[name]; ok {
		addr = l.Addr().String()
	}
	l, err := net.Listen("tcp", addr)
	require.NoError(m.t, err)
	m.listeners[name] = l
	return l
}

func (m *testMesh) url(name string) string { return "http://" + m.listeners[name].Addr().String() }

func (m *testMesh) endpoints() endpoints {
	return endpoints{
		Ingest:    m.url(topology.Ingestion),
		Webhook:   m.url(topology.Pull),
		Control:   m.url(topology.Reconciliation),
		Push:      m.url(topology.Push),
		Stripe:    m.url("stripe"),
		NATS:      m.natsURL,
		Database:  m.database,
		Token:     scriptToken,
		Simulated: true,
	}
}

// start starts a service and waits until it is ready.
func (m *testMesh) start(name string) {
	m.run(name, m.service(name, httpserver.Config{Listener: m.listen(name), Logger: discard()}))
	require.Eventually(m.t, func() bool { return isReady(m.t.Context(), m.url(name)+"/readyz") }, scriptTimeout,
		10*time.Millisecond, name)
}

// service returns what runs a service.
func (m *testMesh) service(name string, server httpserver.Config) func(context.Context) error {
	nats, stripe := m.client(name), stripeapi.Config{Key: simulatorKey, Base: m.sim.BaseURL}
	switch name {
	case topology.Ingestion:
		return func(ctx context.Context) error {
			return ingestion.Run(ctx, ingestion.Config{
				Account:     "default",
				NATS:        nats,
				DatabaseURL: m.database,
				Slot:        m.slot,
				Publication: "driftless",
				Mapping:     m.mapping,
				HTTP:        server,
				Auth:        scriptAuth(m.t),
				Logger:      discard(),
			})
		}
	case topology.Push:
		return func(ctx context.Context) error {
			return push.Run(ctx, push.Config{
				Account:       "default",
				NATS:          nats,
				Stripe:        stripe,
				HTTP:          server,
				Policy:        m.policy,
				Guard:         m.guard,
				HoldCreations: m.holdCreations,
				Logger:        discard(),
			})
		}
	case topology.Pull:
		return func(ctx context.Context) error {
			return pull.Run(ctx, pull.Config{
				Account:        "default",
				NATS:           nats,
				Stripe:         stripe,
				WebhookSecrets: []string{scriptSecret},
				PollInterval:   time.Hour,
				HTTP:           server,
				Logger:         discard(),
			})
		}
	case topology.Reconciliation:
		return func(ctx context.Context) error {
			return reconciliation.Run(ctx, reconciliation.Config{
				Account:      "default",
				NATS:         nats,
				LedgerURL:    m.database,
				HTTP:         server,
				Auth:         scriptAuth(m.t),
				GracePeriod:  time.Second,
				Policy:       m.policy,
				CanWriteBack: m.mapping.CheckWriteBack,
				CanInsert:    m.mapping.CheckInsert,
				Guard:        m.guard,
				Logger:       discard(),
			})
		}
	default:
		require.FailNow(m.t, "a mesh has no service "+name)
		return nil
	}
}

// run runs a part of the mesh until it is stopped, or the test ends.
func (m *testMesh) run(name string, part func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(m.t.Context()))
	done := make(chan error, 1)
	go func() { done <- part(ctx) }()
	m.stops[name] = sync.OnceFunc(func() {
		cancel()
		require.NoError(m.t, <-done, name)
	})
	m.t.Cleanup(m.stops[name])
}

// stop stops a part of the mesh: a service, the simulator (stripe) or nats.
func (m *testMesh) stop(name string) {
	require.Contains(m.t, m.stops, name)
	m.stops[name]()
}

func (m *testMesh) exec(statement string) error {
	conn, err := pgx.Connect(m.t.Context(), m.database)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(m.t.Context()))
	_, err = conn.Exec(m.t.Context(), statement)
	return err
}

// dashboard changes a product in Stripe: create, edit or delete.
func (m *testMesh) dashboard(verb, id string, fields []string) error {
	form := url.Values{}
	for _, f := range fields {
		name, value, _ := strings.Cut(f, "=")
		form.Set(name, value)
	}
	switch verb {
	case "create":
		form.Set("id", id)
		_, err := m.sim.CreateProduct(m.t.Context(), form)
		return err
	case "edit":
		return m.sim.EditProduct(m.t.Context(), id, form)
	case "delete":
		return m.sim.DeleteProduct(m.t.Context(), id, true)
	default:
		return fmt.Errorf("the command dashboard has no verb %q", verb)
	}
}

// refuse makes the simulator refuse all writes of a product. Without an argument it ends all faults, also those of the
// command forbid.
func (m *testMesh) refuse(products []string) error {
	if len(products) == 0 {
		return m.sim.ClearFaults(m.t.Context())
	}
	_, err := m.sim.AddFault(m.t.Context(), stripesim.Fault{
		Kind:    stripesim.FaultRefused,
		Method:  http.MethodPost,
		Object:  products[0],
		Message: "The name of the product is not allowed.",
		Param:   "name",
	})
	return err
}
