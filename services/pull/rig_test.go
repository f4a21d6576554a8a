package pull_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/client"
	"github.com/stripe/stripe-go/v76/webhook"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/budget"
	"github.com/driftless-sync/driftless/services/internal/httpserver"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/pull"
	"github.com/driftless-sync/driftless/services/stripesim"
)

const (
	patience = 30 * time.Second
	key      = "sk_test_pull"
	secret   = "whsec_new"
)

// rig is a mesh with a simulator and no service but pull. It has read Stripe's events before.
type rig struct {
	t      *testing.T
	mesh   *mesh.Mesh
	stores *state.Stores
	nats   string
	simURL string
	url    string
	admin  stripesim.Admin
	stripe *client.API
	limits budget.Limits
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t}
	r.nats, _ = localtest.NATS(t)
	var err error
	r.mesh, err = mesh.Connect(t.Context(), mesh.Config{URL: r.nats, Name: "test"})
	require.NoError(t, err)
	t.Cleanup(r.mesh.Close)
	r.stores = state.New(r.mesh)
	require.NoError(t, topology.Apply(t.Context(), r.mesh.JetStream(), topology.Options{}))
	anHourAgo := time.Now().Add(-time.Hour)
	require.NoError(t, r.position().PutString(t.Context(), "@"+strconv.FormatInt(anHourAgo.Unix(), 10)))
	require.NoError(t, r.stores.Record(topology.KeyPoll, "default").Put(t.Context(),
		&meshv1.PollReport{ReadUpTo: timestamppb.New(anHourAgo)}))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	r.simURL = "http://" + listener.Addr().String()
	r.admin = stripesim.Admin{BaseURL: r.simURL}
	r.run(func(ctx context.Context) error {
		return stripesim.Run(ctx, stripesim.Config{Listener: listener, Limits: stripesim.Limits{Off: true}})
	})
	r.stripe = client.New(key,
		&stripe.Backends{API: stripe.GetBackendWithConfig(stripe.APIBackend, &stripe.BackendConfig{
			URL: stripe.String(r.simURL), LeveledLogger: &stripe.LeveledLogger{Level: stripe.LevelNull},
		})})
	return r
}

// position is how far Stripe's events have been read.
func (r *rig) position() *state.Record { return r.stores.Record(topology.KeyEvents, "default") }

// loseCursor makes the bucket CURSOR again, which is empty then.
func (r *rig) loseCursor() {
	r.t.Helper()
	require.NoError(r.t, r.mesh.JetStream().DeleteKeyValue(r.t.Context(), topology.BucketCursor))
	require.NoError(r.t, topology.Apply(r.t.Context(), r.mesh.JetStream(), topology.Options{}))
}

// beforeEvents calls do before each of pull's requests of Stripe's events.
func (r *rig) beforeEvents(do func()) {
	r.t.Helper()
	target, err := url.Parse(r.simURL)
	require.NoError(r.t, err)
	server := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(req *httputil.ProxyRequest) {
		req.SetURL(target)
		if req.In.URL.Path == "/v1/events" {
			do()
		}
	}})
	r.t.Cleanup(server.Close)
	r.simURL = server.URL
}

func (r *rig) run(run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(r.t.Context())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(r.t, <-done)
	})
	r.t.Cleanup(stop)
	return stop
}

// pull starts the service. Its first poll happens at once, the next after the interval.
func (r *rig) pull(interval time.Duration) (stop func()) {
	r.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(r.t, err)
	r.url = "http://" + listener.Addr().String()
	stop = r.run(func(ctx context.Context) error {
		return pull.Run(ctx, pull.Config{
			Account: "default", NATS: mesh.Config{URL: r.nats, Name: "pull"},
			Stripe: stripeapi.Config{Key: key, Base: r.simURL},
			Limits: r.limits, WebhookSecrets: []string{"whsec_old", secret}, PollInterval: interval,
			HTTP: httpserver.Config{Listener: listener},
		})
	})
	require.Eventually(r.t, func() bool {
		resp, err := http.Get(r.url + "/readyz")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}, patience, 5*time.Millisecond)
	return stop
}

// tunnel is the host name of the endpoint in Stripe.
const tunnel = "hooks.example.com"

// event is a webhook's body.
type event struct {
	ID       string
	Type     string
	Created  int64
	Live     bool
	Key      string
	Account  string
	Object   map[string]any
	Previous map[string]any
}

func (e event) body() []byte {
	data, err := json.Marshal(map[string]any{
		"account": e.Account, "id": e.ID, "object": "event", "type": e.Type, "created": e.Created, "livemode": e.Live,
		"api_version": "2023-10-16",
		"request":     map[string]any{"id": "req_1", "idempotency_key": e.Key},
		"data":        map[string]any{"object": e.Object, "previous_attributes": e.Previous},
	})
	if err != nil {
		panic(err)
	}
	return data
}

func productObject(name string, updated int64) map[string]any {
	return map[string]any{
		"id":       "mug",
		"object":   "product",
		"active":   true,
		"name":     name,
		"updated":  updated,
		"metadata": map[string]string{},
	}
}

// priceObject is a price made by a checkout.
func priceObject(id string, active bool) map[string]any {
	return map[string]any{
		"id": id, "object": "price", "product": "mug", "active": active, "currency": "eur", "unit_amount": 700,
		"unit_amount_decimal": "700",
		"billing_scheme":      "per_unit", "created": 100, "metadata": map[string]string{},
		"tax_behavior": "unspecified",
	}
}

func (r *rig) send(body []byte, signedWith string) int {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, r.url+pull.WebhookPath,
		bytes.NewReader(body))
	require.NoError(r.t, err)
	req.Host = tunnel
	req.Header.Set("Origin", "https://"+tunnel)
	if signedWith != "" {
		signed := webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: body, Secret: signedWith})
		req.Header.Set("Stripe-Signature", signed.Header)
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(r.t, err)
	defer resp.Body.Close()
	return resp.StatusCode
}

func (r *rig) stored(stream string) uint64 {
	r.t.Helper()
	s, err := r.mesh.JetStream().Stream(r.t.Context(), stream)
	require.NoError(r.t, err)
	info, err := s.Info(r.t.Context())
	require.NoError(r.t, err)
	return info.State.Msgs
}

func (r *rig) observed() *catalogv1.Observed {
	r.t.Helper()
	o, _, err := r.stores.Observed().Get(r.t.Context(), "default", "mug")
	require.NoError(r.t, err)
	return o
}

// waitName waits until the product mug has a name in OBSERVED.
func (r *rig) waitName(name string) {
	r.t.Helper()
	require.Eventually(r.t, func() bool { return r.observed().GetProduct().GetName() == name }, patience,
		5*time.Millisecond, name)
}
