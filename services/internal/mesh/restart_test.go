package mesh_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/local"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/mesh/meshtest"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

func TestConsume_SurvivesServerRestart(t *testing.T) {
	cfg := local.NATSConfig{DataDir: t.TempDir(), NoSync: true, Logger: slog.New(slog.DiscardHandler)}
	server, err := local.StartNATS(t.Context(), cfg)
	require.NoError(t, err)
	address, err := url.Parse(server.URL())
	require.NoError(t, err)
	cfg.Port, err = strconv.Atoi(address.Port())
	require.NoError(t, err)
	m, err := mesh.Connect(t.Context(), mesh.Config{URL: server.URL(), Name: "test"})
	require.NoError(t, err)
	t.Cleanup(m.Close)
	require.NoError(t, topology.Apply(t.Context(), m.JetStream(), topology.Options{}))

	var mu sync.Mutex
	one, many := map[string]bool{}, map[string]bool{}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 2)
	go func() {
		done <- mesh.Consume(ctx, m, mesh.Worker{Service: topology.Push, Consumer: topology.PushLive},
			func(_ context.Context, msg mesh.Message[*catalogv1.ProductChange]) mesh.Verdict {
				mu.Lock()
				defer mu.Unlock()
				one[msg.Body.GetProductId()] = true
				return mesh.Ack()
			})
	}()
	go func() {
		done <- mesh.ConsumeBatches(ctx, m,
			mesh.Worker{Service: topology.Reconciliation, Consumer: topology.ReconciliationCatalog, Concurrency: 2}, 10,
			func(_ context.Context, batch []mesh.Delivery[*catalogv1.ProductChange]) []mesh.Verdict {
				mu.Lock()
				defer mu.Unlock()
				for _, d := range batch {
					many[d.Body.GetProductId()] = true
				}
				return make([]mesh.Verdict, len(batch))
			})
	}()
	arrived := func(product string) bool {
		mu.Lock()
		defer mu.Unlock()
		return one[product] && many[product]
	}
	for i := range 3 {
		id := fmt.Sprintf("p%d", i)
		require.Eventually(t, func() bool {
			// The client reconnects by itself.
			return m.Publish(t.Context(), topology.CatalogSubject("default", topology.Live, id),
				meshtest.Change(id, uint64(i+1)), mesh.WithVersion(uint64(i+1))) == nil
		}, time.Minute, 50*time.Millisecond)
		require.Eventually(t, func() bool { return arrived(id) }, time.Minute, 10*time.Millisecond)
		require.NoError(t, server.Close())
		server, err = local.StartNATS(t.Context(), cfg)
		require.NoError(t, err)
	}
	stop()
	require.NoError(t, <-done)
	require.NoError(t, <-done)
	m.Close()
	require.NoError(t, server.Close())
}
