package push_test

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/client"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/httpserver"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/push"
	"github.com/driftless-sync/driftless/services/stripesim"
)

const (
	patience = 30 * time.Second
	key      = "sk_test_push"
	readOnly = "rk_test_readonly"
	otherKey = "sk_test_other"
)

// rig is a mesh with a simulator and no service but push.
type rig struct {
	t      *testing.T
	mesh   *mesh.Mesh
	stores *state.Stores
	nats   string
	simURL string
	admin  stripesim.Admin
	stripe *client.API
}

func newRig(t *testing.T, faults ...stripesim.Fault) *rig {
	t.Helper()
	return newRigOf(t, strict, faults...)
}

func newStrictRig(t *testing.T) *rig {
	t.Helper()
	return newRigOf(t, true)
}

func newRigOf(t *testing.T, strict bool, faults ...stripesim.Fault) *rig {
	t.Helper()
	url, _ := localtest.NATS(t)
	return newRigOn(t, url, 1, strict, faults...)
}

// newRigOn makes a rig on a NATS server, or on a cluster with that many replicas.
func newRigOn(t *testing.T, url string, replicas int, strict bool, faults ...stripesim.Fault) *rig {
	t.Helper()
	r := &rig{t: t, nats: url}
	var err error
	r.mesh, err = mesh.Connect(t.Context(), mesh.Config{URL: r.nats, Name: "test"})
	require.NoError(t, err)
	t.Cleanup(r.mesh.Close)
	r.stores = state.New(r.mesh)
	require.NoError(t, topology.Apply(t.Context(), r.mesh.JetStream(), topology.Options{Replicas: replicas}))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	r.simURL = "http://" + listener.Addr().String()
	r.admin = stripesim.Admin{BaseURL: r.simURL}
	r.run(func(ctx context.Context) error {
		return stripesim.Run(ctx, stripesim.Config{
			Listener: listener, Limits: stripesim.Limits{Off: true}, Faults: faults, DocumentedClearsOnly: strict,
			RefuseDeletedIDs: strict, OnUndocumented: noteUndocumented(t),
			APIKeys: []stripesim.APIKey{
				{Key: key},
				{Key: readOnly, ReadOnly: true},
				{Key: otherKey, Account: "acct_other"},
			},
		})
	})
	r.stripe = client.New(key,
		&stripe.Backends{API: stripe.GetBackendWithConfig(stripe.APIBackend, &stripe.BackendConfig{
			URL: stripe.String(r.simURL), LeveledLogger: &stripe.LeveledLogger{Level: stripe.LevelNull},
		})})
	return r
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

func (r *rig) config(key string) push.Config {
	return push.Config{
		Account: "default", NATS: mesh.Config{URL: r.nats, Name: "push"},
		Stripe: stripeapi.Config{Key: key, Base: r.simURL},
		HTTP:   httpserver.Config{Addr: "127.0.0.1:0"},
	}
}

func (r *rig) push() (stop func()) {
	return r.run(func(ctx context.Context) error { return push.Run(ctx, r.config(key)) })
}

func mug(name, amount string) *catalogv1.Product {
	return &catalogv1.Product{
		Id: "mug", Name: name, DefaultPrice: "mug-one",
		Prices: []*catalogv1.Price{{Id: "mug-one", Currency: "eur", UnitAmount: amount}},
	}
}

// pack is a mug with a price that Stripe cannot create together with a product.
func pack(name, amount string) *catalogv1.Product {
	p := mug(name, amount)
	p.Prices[0].TransformQuantity = &catalogv1.TransformQuantity{DivideBy: 6, Round: "up"}
	return p
}

// calls counts the requests by endpoint, without reads.
func (r *rig) calls() map[string]int {
	r.t.Helper()
	stats, err := r.admin.Stats(r.t.Context())
	require.NoError(r.t, err)
	out := map[string]int{}
	for endpoint, s := range stats.Endpoints {
		if strings.HasPrefix(endpoint, http.MethodPost) {
			out[endpoint] = s.Requests
		}
	}
	return out
}

func (r *rig) want(p *catalogv1.Product, version uint64) {
	r.t.Helper()
	require.NoError(r.t,
		r.mesh.Publish(r.t.Context(), topology.CatalogSubject("default", topology.Live, p.GetId()),
			&catalogv1.ProductChange{
				Account: "default", ProductId: p.GetId(), Version: version,
				Operation: catalogv1.Operation_OPERATION_UPSERT,
				Product:   p,
			}, mesh.WithVersion(version)))
}

func (r *rig) observed(product string) *catalogv1.Observed {
	r.t.Helper()
	o, _, err := r.stores.Observed().Get(r.t.Context(), "default", product)
	require.NoError(r.t, err)
	return o
}

// applied waits until a version is applied in full and no claim is left.
func (r *rig) applied(product string, version uint64) *catalogv1.Observed {
	r.t.Helper()
	require.Eventually(r.t, func() bool {
		o := r.observed(product)
		return o.GetVersion() >= version && o.GetClaim() == nil && !o.GetStale()
	}, patience, 10*time.Millisecond)
	return r.observed(product)
}

// prices counts the product's active and archived prices in Stripe.
func (r *rig) prices(product string) (active, archived int) {
	r.t.Helper()
	for _, isActive := range []bool{true, false} {
		list := r.stripe.Prices.List(&stripe.PriceListParams{
			Product: stripe.String(product),
			Active:  stripe.Bool(isActive),
		})
		for list.Next() {
			if isActive {
				active++
			} else {
				archived++
			}
		}
		require.NoError(r.t, list.Err())
	}
	return active, archived
}
