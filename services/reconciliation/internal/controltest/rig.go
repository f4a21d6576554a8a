// Package controltest runs reconciliation for tests, with what the other services would do around it.
package controltest

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/httpserver"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

const (
	// Patience is how long a test waits for something that must happen.
	Patience = 20 * time.Second
	// Grace is the grace period.
	Grace = 400 * time.Millisecond
)

// Clock is advanced by tests.
type Clock struct{ offset atomic.Int64 }

// Now returns the time, as far as it was advanced.
func (c *Clock) Now() time.Time { return time.Now().Add(time.Duration(c.offset.Load())) }

// Advance advances the clock.
func (c *Clock) Advance(d time.Duration) { c.offset.Add(int64(d)) }

// Rig is a reconciliation on a NATS server and a ledger of its own, with what the other services would do.
type Rig struct {
	T      *testing.T
	Mesh   *mesh.Mesh
	Stores *state.Stores
	Config reconciliation.Config
	Clock  *Clock
	URL    string
}

// New returns a rig that is not started. A test may change its Config before.
func New(t *testing.T) *Rig {
	t.Helper()
	c := &Clock{}
	r := &Rig{
		T:     t,
		Clock: c,
		Config: reconciliation.Config{
			Account:     "default",
			LedgerURL:   LedgerURL(t),
			GracePeriod: Grace,
			Now:         c.Now,
		},
	}
	r.EmptyNATS()
	return r
}

// LedgerURL returns the URL of an empty ledger.
func LedgerURL(t testing.TB) string {
	t.Helper()
	return localtest.PostgresCopy(t, "ledger", func(url string) error {
		return ledger.Migrate(context.Background(), url, "")
	})
}

// EmptyNATS gives the services a new and empty NATS server.
func (r *Rig) EmptyNATS() {
	r.T.Helper()
	url, _ := localtest.NATS(r.T)
	m, err := mesh.Connect(r.T.Context(), mesh.Config{URL: url, Name: "test"})
	require.NoError(r.T, err)
	r.T.Cleanup(m.Close)
	require.NoError(r.T, topology.Apply(r.T.Context(), m.JetStream(), topology.Options{}))
	r.Mesh, r.Stores, r.Config.NATS = m, state.New(m), mesh.Config{URL: url, Name: "reconciliation"}
}

// Start starts the service and waits until it is ready.
func (r *Rig) Start() (stop func()) {
	r.T.Helper()
	listener, err := (&net.ListenConfig{}).Listen(r.T.Context(), "tcp", "127.0.0.1:0")
	require.NoError(r.T, err)
	r.URL = "http://" + listener.Addr().String()
	cfg := r.Config
	cfg.HTTP = httpserver.Config{Listener: listener}
	ctx, cancel := context.WithCancel(r.T.Context())
	done := make(chan error, 1)
	go func() { done <- reconciliation.Run(ctx, cfg) }()
	stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(r.T, <-done)
	})
	r.T.Cleanup(stop)
	require.Eventually(r.T, func() bool {
		req, err := http.NewRequestWithContext(r.T.Context(), http.MethodGet, r.URL+"/readyz", nil)
		require.NoError(r.T, err)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}, Patience, 10*time.Millisecond)
	return stop
}

// Call calls a method of the control API with JSON.
func (r *Rig) Call(method, body string, headers ...string) (int, []byte) {
	r.T.Helper()
	req, err := http.NewRequestWithContext(r.T.Context(), http.MethodPost,
		r.URL+"/driftless.control.v1.ControlService/"+method, strings.NewReader(body))
	require.NoError(r.T, err)
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(r.T, err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	require.NoError(r.T, err)
	return resp.StatusCode, answer
}

// Ask calls a method of the control API with JSON, and returns its answer.
func Ask[T any, M interface {
	*T
	proto.Message
}](r *Rig, method, body string) M {
	r.T.Helper()
	status, answer := r.Call(method, body)
	require.Equal(r.T, http.StatusOK, status, string(answer))
	out := M(new(T))
	require.NoError(r.T, protojson.Unmarshal(answer, out))
	return out
}

// Desire publishes a desired state.
func (r *Rig) Desire(id, name string, version uint64) {
	r.T.Helper()
	require.NoError(r.T,
		r.Mesh.Publish(r.T.Context(), topology.CatalogSubject("default", topology.Live, id), &catalogv1.ProductChange{
			Account:   "default",
			ProductId: id,
			Version:   version,
			Operation: catalogv1.Operation_OPERATION_UPSERT,
			Product:   &catalogv1.Product{Id: id, Name: name},
			Source:    catalogv1.Source_SOURCE_WAL,
		}, mesh.WithVersion(version)))
}

// Observe stores an observed state.
func (r *Rig) Observe(id, name string, version uint64) {
	r.T.Helper()
	_, err := r.Stores.Observed().Update(r.T.Context(), "default", id, func(o *catalogv1.Observed) error {
		o.Product, o.Version = &catalogv1.Product{Id: id, Name: name, Active: proto.Bool(true)}, version
		return nil
	})
	require.NoError(r.T, err)
}

// State returns the ledger's state of a product. A plan does not distinguish a product in sync from an extra.
func (r *Rig) State(id string) controlv1.ProductState {
	r.T.Helper()
	products := Ask[controlv1.ListProductsResponse](r, "ListProducts",
		fmt.Sprintf(`{"product_ids":[%q]}`, id)).GetProducts()
	if len(products) == 0 {
		return controlv1.ProductState_PRODUCT_STATE_UNSPECIFIED
	}
	return products[0].GetState()
}

// Eventually waits until a product has a state.
func (r *Rig) Eventually(id string, want controlv1.ProductState) {
	r.T.Helper()
	require.Eventually(r.T, func() bool { return r.State(id) == want }, Patience, 10*time.Millisecond, "%s", want)
}

// AckCatalog acknowledges all of push's messages of CATALOG, as a running push would.
func (r *Rig) AckCatalog() {
	r.T.Helper()
	ctx, cancel := context.WithCancel(r.T.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = mesh.Consume(ctx, r.Mesh, mesh.Worker{Service: topology.Push, Consumer: topology.PushLive},
			func(context.Context, mesh.Message[*catalogv1.ProductChange]) mesh.Verdict { return mesh.Ack() })
	}()
	r.T.Cleanup(func() { cancel(); <-done })
}

// Kinds returns the kinds of entries in the history of a product.
func (r *Rig) Kinds(id string) []string {
	r.T.Helper()
	var out []string
	for _, e := range Ask[controlv1.ListHistoryResponse](r, "ListHistory",
		fmt.Sprintf(`{"product_id":%q}`, id)).GetEntries() {
		out = append(out, e.GetKind())
	}
	return out
}

// Commands counts the commands to push about a product.
func (r *Rig) Commands(id string) *atomic.Int64 {
	r.T.Helper()
	var n atomic.Int64
	ctx, cancel := context.WithCancel(r.T.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = mesh.Consume(ctx, r.Mesh, mesh.Worker{Service: topology.Push, Consumer: topology.PushCommand},
			func(_ context.Context, msg mesh.Message[*meshv1.Command]) mesh.Verdict {
				if msg.Body.GetSync().GetProductId() == id && msg.Body.GetSync().GetLook() {
					n.Add(1)
				}
				return mesh.Ack()
			})
	}()
	r.T.Cleanup(func() { cancel(); <-done })
	return &n
}
