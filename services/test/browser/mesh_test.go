package browser_test

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	ingestv1 "github.com/driftless-sync/driftless/proto/driftless/ingest/v1"
	"github.com/driftless-sync/driftless/proto/driftless/ingest/v1/ingestv1connect"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/console"
	"github.com/driftless-sync/driftless/services/ingestion"
	"github.com/driftless-sync/driftless/services/internal/auth"
	"github.com/driftless-sync/driftless/services/internal/budget"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/guard"
	"github.com/driftless-sync/driftless/services/internal/httpserver"
	"github.com/driftless-sync/driftless/services/internal/local"
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
	webhookSecret = "whsec_browser"
	stripeKey     = "sk_test_browser"
	// consoleName is that of the console among the parts of a mesh.
	consoleName = "console"
)

// patience is the timeout of everything that a test waits for.
const patience = time.Minute

// meshes counts the meshes of this process. Slots need names of their own, because all meshes share one Postgres.
var meshes atomic.Int64

// testMesh is a whole mesh with its console, in this process.
type testMesh struct {
	t        testing.TB
	natsURL  string
	database string
	// controlNATS and ledgerURL are the addresses that reconciliation uses. Empty is those of the mesh.
	controlNATS, ledgerURL string
	slot                   string
	sim                    stripesim.Admin
	policy                 *catalog.Policy
	// sessionKey keeps visitors signed in while the console restarts.
	sessionKey string
	// tokens are those of the three roles, by role.
	tokens    map[auth.Role]string
	entries   auth.Entries
	listeners map[string]net.Listener
	stops     map[string]func()
	// holdCreations keeps push from creating products.
	holdCreations bool
	// settings are what services announce.
	settings map[string][]*meshv1.Setting
	// selfCheck is the time between two looks of a process at its own part. 0 looks at nothing.
	selfCheck time.Duration
}

// newTestMesh starts a mesh that stops when the test ends. Drift waits for a decision, and dangerous changes of amounts
// are held. prepare is called before the services start.
func newTestMesh(t testing.TB, prepare ...func(*testMesh)) *testMesh {
	t.Helper()
	policy, err := catalog.NewPolicy(catalog.Report, nil)
	require.NoError(t, err)
	m := &testMesh{
		t:          t,
		policy:     policy,
		sessionKey: auth.NewToken(),
		slot:       fmt.Sprintf("browser_%d", meshes.Add(1)),
		tokens:     map[auth.Role]string{},
		listeners:  map[string]net.Listener{},
		stops:      map[string]func(){},
	}
	for role, name := range map[auth.Role]string{auth.Read: "vera", auth.Operate: "otto", auth.Approve: "ada"} {
		token := auth.NewToken()
		hash, err := auth.HashToken(token)
		require.NoError(t, err)
		m.tokens[role] = token
		m.entries = append(m.entries, auth.Entry{Name: name, Role: role, Hash: hash})
	}
	server, err := local.StartNATS(t.Context(), local.NATSConfig{DataDir: t.TempDir(), NoSync: true, Logger: discard()})
	require.NoError(t, err)
	m.natsURL = server.URL()
	m.stops["nats"] = sync.OnceFunc(func() { require.NoError(t, server.Close()) })
	t.Cleanup(m.stops["nats"])
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
	for _, f := range prepare {
		f(m)
	}
	m.startSimulator()
	for _, name := range []string{
		topology.Ingestion, topology.Push, topology.Pull, topology.Reconciliation, consoleName,
	} {
		m.start(name)
	}
	return m
}

// startSimulator starts the simulator. It sends its events to the port that pull will have.
func (m *testMesh) startSimulator() {
	cfg := stripesim.Config{
		Listener: m.listen("stripe"),
		Limits:   stripesim.Limits{Off: true},
		Logger:   discard(),
		Webhooks: []stripesim.Webhook{{
			URL:     "http://" + m.listen(topology.Pull).Addr().String() + pull.WebhookPath,
			Secrets: []string{webhookSecret},
		}},
	}
	m.run("stripe", func(ctx context.Context) error { return stripesim.Run(ctx, cfg) })
	m.sim = stripesim.Admin{BaseURL: m.url("stripe")}
	require.NoError(m.t, m.listeners[topology.Pull].Close())
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

func (m *testMesh) client(name string) mesh.Config {
	return mesh.Config{URL: m.natsURL, Name: name, Settings: m.settings[name], Logger: discard()}
}

// listen returns a listener whose port stays the same when the part restarts.
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

// start starts a part and waits until it is ready.
func (m *testMesh) start(name string) {
	m.run(name, m.part(name, httpserver.Config{Listener: m.listen(name), Logger: discard()}))
	require.Eventually(m.t, func() bool {
		response, err := http.Get(m.url(name) + "/readyz")
		if err != nil {
			return false
		}
		_ = response.Body.Close()
		return response.StatusCode == http.StatusOK
	}, patience, 10*time.Millisecond, name)
}

// part returns what runs a part of the mesh.
func (m *testMesh) part(name string, server httpserver.Config) func(context.Context) error {
	nats, stripe := m.client(name), stripeapi.Config{Key: stripeKey, Base: m.sim.BaseURL}
	limits := budget.Limits{PerSecond: 100, PerEndpoint: 100, ReadAllowance: 10_000}
	rules := guard.Config{AmountChange: 50, ZeroAmount: true, NoActivePrice: true}
	switch name {
	case topology.Ingestion:
		return func(ctx context.Context) error {
			return ingestion.Run(ctx, ingestion.Config{
				Account: "default", NATS: nats, DatabaseURL: m.database, Slot: m.slot, Publication: "driftless",
				HTTP: server, Auth: auth.Settings{Tokens: m.entries.String()}, SelfCheck: m.selfCheck,
				Logger: discard(),
			})
		}
	case topology.Push:
		return func(ctx context.Context) error {
			return push.Run(ctx, push.Config{
				Account: "default", NATS: nats, Stripe: stripe, HTTP: server, Policy: m.policy, Guard: rules,
				Limits: limits, HoldCreations: m.holdCreations, SelfCheck: m.selfCheck, Logger: discard(),
			})
		}
	case topology.Pull:
		return func(ctx context.Context) error {
			return pull.Run(ctx, pull.Config{
				Account: "default", NATS: nats, Stripe: stripe, WebhookSecrets: []string{webhookSecret},
				PollInterval: time.Hour, HTTP: server, Limits: limits, SelfCheck: m.selfCheck, Logger: discard(),
			})
		}
	case topology.Reconciliation:
		nats.URL = cmp.Or(m.controlNATS, nats.URL)
		return func(ctx context.Context) error {
			return reconciliation.Run(ctx, reconciliation.Config{
				Account: "default", NATS: nats, LedgerURL: cmp.Or(m.ledgerURL, m.database), HTTP: server,
				Auth: auth.Settings{Tokens: m.entries.String()}, GracePeriod: time.Second, Policy: m.policy,
				Guard: rules, SelfCheck: m.selfCheck,
				Logger: discard(),
			})
		}
	default:
		return func(ctx context.Context) error {
			return console.Run(ctx, console.Config{
				ControlURL: m.url(topology.Reconciliation), IngestURL: m.url(topology.Ingestion), HTTP: server,
				StripeURL: "https://dashboard.stripe.com/test", SessionKey: m.sessionKey,
				Settings: m.settings[consoleName], Logger: discard(),
			})
		}
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

// bearer sends a token with each request.
type bearer string

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+string(b))
	return http.DefaultTransport.RoundTrip(r)
}

// upsert writes products to the catalog.
func (m *testMesh) upsert(products ...*catalogv1.Product) {
	m.t.Helper()
	client := ingestv1connect.NewIngestServiceClient(&http.Client{Transport: bearer(m.tokens[auth.Operate])},
		m.url(topology.Ingestion))
	_, err := client.UpsertProducts(m.t.Context(),
		connect.NewRequest(&ingestv1.UpsertProductsRequest{Products: products}))
	require.NoError(m.t, err)
}

// product returns an active product with a price per month.
func product(id, name string, amount int64) *catalogv1.Product {
	return &catalogv1.Product{
		Id:     id,
		Name:   name,
		Active: proto.Bool(true),
		Prices: []*catalogv1.Price{{
			Id: id + "-monthly", Active: proto.Bool(true), Currency: "eur", UnitAmount: strconv.FormatInt(amount, 10),
		}},
	}
}

// edit changes a product in Stripe, as somebody at the dashboard does.
func (m *testMesh) edit(id string, fields url.Values) {
	m.t.Helper()
	require.NoError(m.t, m.sim.EditProduct(m.t.Context(), id, fields))
}
