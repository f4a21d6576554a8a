package mesh_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/mesh/meshtest"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

func TestConsumeBatches_AppliesOneVerdictPerMessage(t *testing.T) {
	m := meshtest.Start(t)
	for i := range 10 {
		meshtest.Publish(t, m, topology.Live, fmt.Sprintf("p%d", i), uint64(i+1))
	}
	_, err := m.JetStream().Publish(t.Context(), topology.CatalogSubject("default", topology.Live, "broken"),
		[]byte("\xff"))
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var mu sync.Mutex
	var sizes []int
	seen := map[string]int{}
	done := make(chan error)
	go func() {
		done <- mesh.ConsumeBatches(ctx, m, mesh.Worker{Service: topology.Push, Consumer: topology.PushLive}, 4,
			func(_ context.Context, batch []mesh.Delivery[*catalogv1.ProductChange]) []mesh.Verdict {
				mu.Lock()
				defer mu.Unlock()
				sizes = append(sizes, len(batch))
				verdicts := make([]mesh.Verdict, len(batch))
				for i, d := range batch {
					id := d.Body.GetProductId()
					if seen[id]++; id == "p3" && seen[id] == 1 {
						verdicts[i] = mesh.RetryIn(10*time.Millisecond, errors.New("not yet"))
					}
				}
				return verdicts
			})
	}()
	require.Eventually(t, func() bool { return pending(t, m, topology.PushLive) == 0 }, patience, 10*time.Millisecond)
	// A message that comes alone does not wait for others.
	meshtest.Publish(t, m, topology.Live, "late", 11)
	require.Eventually(t, func() bool { return pending(t, m, topology.PushLive) == 0 }, patience, 10*time.Millisecond)
	stop()
	require.NoError(t, <-done)
	require.Len(t, seen, 11)
	for id, n := range seen {
		require.Equal(t, map[bool]int{true: 2, false: 1}[id == "p3"], n, id)
	}
	require.LessOrEqual(t, slices.Max(sizes), 4)
	require.Contains(t, sizes, 4)
	require.Equal(t, 1, sizes[len(sizes)-1])
	dead, err := m.JetStream().Stream(t.Context(), topology.StreamDead)
	require.NoError(t, err)
	letter, err := dead.GetLastMsgForSubject(t.Context(), "dead.push.default."+topology.Token("broken"))
	require.NoError(t, err)
	require.NotEmpty(t, letter.Data)
}
