package e2e_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/client"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/stripesim"
)

// replica returns a push that runs as a process.
func replica(t *testing.T, natsURL, simURL string) *exec.Cmd {
	t.Helper()
	dir, err := programs()
	require.NoError(t, err)
	cmd := exec.Command(filepath.Join(dir, "push"))
	cmd.Env = append(os.Environ(), "NATS_URL="+natsURL, "STRIPE_API_KEY="+key, "STRIPE_API_BASE="+simURL,
		"STRIPE_RATE=1000", "STRIPE_ENDPOINT_RATE=1000",
		"DRIFTLESS_PUSH_ADDR=127.0.0.1:0", "DRIFTLESS_LOG_LEVEL=error")
	require.NoError(t, cmd.Start())
	return cmd
}

// The test changes a few products a thousand times. Meanwhile two or four pushes are repeatedly killed and replaced,
// and Stripe fails in every way that the simulator supports. In the end Stripe has the desired state, nothing was
// created twice, and no product ever had two concurrent calls.
func TestReplicas_KilledPushesConverge(t *testing.T) {
	t.Parallel()
	for _, replicas := range []int{2, 4} {
		t.Run(fmt.Sprintf("%d replicas", replicas), func(t *testing.T) {
			t.Parallel()
			killReplicas(t, replicas)
		})
	}
}

func killReplicas(t *testing.T, replicas int) {
	t.Helper()
	const products, edits, kills = 10, 120, 8
	natsURL, _ := localtest.NATS(t)
	m, err := mesh.Connect(t.Context(), mesh.Config{URL: natsURL, Name: "test"})
	require.NoError(t, err)
	t.Cleanup(m.Close)
	require.NoError(t, topology.Apply(t.Context(), m.JetStream(), topology.Options{}))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	simURL := "http://" + listener.Addr().String()
	sim := stripesim.Config{Listener: listener, Limits: stripesim.Limits{Off: true}}
	for i, kind := range []stripesim.FaultKind{
		stripesim.FaultRateLimit, stripesim.FaultLockTimeout, stripesim.FaultErrorBefore, stripesim.FaultErrorAfter,
		stripesim.FaultUnavailable,
		stripesim.FaultBadGateway, stripesim.FaultResponseLost, stripesim.FaultReset,
	} {
		sim.Faults = append(sim.Faults, stripesim.Fault{Kind: kind, Probability: 0.01, Seed: uint64(i + 1)})
	}
	sim.Faults = append(sim.Faults, stripesim.Fault{Kind: stripesim.FaultLatency, Delay: 20 * time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- stripesim.Run(ctx, sim) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})

	pushes := make([]*exec.Cmd, replicas)
	kill := func(i int) {
		require.NoError(t, pushes[i].Process.Kill())
		_ = pushes[i].Wait()
	}
	for i := range pushes {
		pushes[i] = replica(t, natsURL, simURL)
	}
	t.Cleanup(func() {
		for i := range pushes {
			kill(i)
		}
	})
	// Every amount is different, so that a price that was created twice shows.
	product := func(i, edit int) *catalogv1.Product {
		id := fmt.Sprintf("mug%d", i)
		return &catalogv1.Product{
			Id: id, Name: fmt.Sprintf("Edition %d", edit), DefaultPrice: id + "-eur",
			Prices: []*catalogv1.Price{{Id: id + "-eur", Currency: "eur", UnitAmount: fmt.Sprint(1000 + edit)}},
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	ticker := time.NewTicker(25 * time.Millisecond)
	defer ticker.Stop()
	for edit := range edits {
		for i := range products {
			p := product(i, edit)
			require.NoError(t,
				m.Publish(t.Context(), topology.CatalogSubject("default", topology.Live, p.GetId()),
					&catalogv1.ProductChange{
						Account: "default", ProductId: p.GetId(), Version: uint64(edit + 1),
						Operation: catalogv1.Operation_OPERATION_UPSERT, Product: p,
					}, mesh.WithVersion(uint64(edit+1))))
		}
		if edit%(edits/kills) == 0 {
			i := random.IntN(replicas)
			kill(i)
			pushes[i] = replica(t, natsURL, simURL)
		}
		<-ticker.C
	}

	admin := stripesim.Admin{BaseURL: simURL}
	require.NoError(t, admin.ClearFaults(t.Context()))
	for i := range products {
		last := product(i, edits-1)
		require.Eventually(t, func() bool {
			o, _, err := state.New(m).Observed().Get(t.Context(), "default", last.GetId())
			return err == nil && o.GetVersion() == edits && o.GetClaim() == nil && !o.GetStale() &&
				len(catalog.Diff(
					&catalogv1.ProductChange{
						ProductId: last.GetId(),
						Operation: catalogv1.Operation_OPERATION_UPSERT,
						Product:   last,
					}, o)) == 0
		}, patience, tick, last.GetId())
	}
	api := client.New(key, &stripe.Backends{API: stripe.GetBackendWithConfig(stripe.APIBackend, &stripe.BackendConfig{
		URL: stripe.String(simURL), HTTPClient: http.DefaultClient,
		LeveledLogger: &stripe.LeveledLogger{Level: stripe.LevelNull},
	})})
	for i := range products {
		last := product(i, edits-1)
		held, err := api.Products.Get(last.GetId(), nil)
		require.NoError(t, err)
		require.Equal(t, last.GetName(), held.Name)
		seen := map[int64]string{}
		for _, active := range []bool{true, false} {
			list := api.Prices.List(&stripe.PriceListParams{
				Product: stripe.String(last.GetId()),
				Active:  stripe.Bool(active),
			})
			n := 0
			for list.Next() {
				n++
				p := list.Price()
				require.Empty(t, seen[p.UnitAmount], "%s: two prices of %d", last.GetId(), p.UnitAmount)
				seen[p.UnitAmount] = p.ID
				if active {
					require.Equal(t, held.DefaultPrice.ID, p.ID)
					require.EqualValues(t, 1000+edits-1, p.UnitAmount)
				}
			}
			require.NoError(t, list.Err())
			require.True(t, !active || n == 1, "%s has %d active prices", last.GetId(), n)
		}
	}
	stats, err := admin.Stats(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, stats.MaxInFlight["product"], "two calls about one product at a time: %v", stats.Contended)
	t.Logf("%d edits, %d kills, %d calls, 429s %v", products*edits, kills, stats.Endpoints["POST /v1/prices"].Requests,
		stats.RateLimited)
}
