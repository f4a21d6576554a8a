package mesh_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/mesh/meshtest"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

func TestFence_OnOneServer(t *testing.T) {
	url, _ := localtest.NATS(t)
	fences(t, url, 1)
}

// A replicated stream checks a message when it is proposed, while others are on their way to the replicas.
func TestFence_InCluster(t *testing.T) {
	fences(t, localtest.Cluster(t), 3)
}

func fences(t *testing.T, url string, replicas int) {
	t.Helper()
	m, err := mesh.Connect(t.Context(), mesh.Config{URL: url, Name: "test"})
	require.NoError(t, err)
	t.Cleanup(m.Close)
	require.NoError(t, topology.Apply(t.Context(), m.JetStream(), topology.Options{Replicas: replicas}))
	states := func(lane topology.Lane, version uint64, n int) (out []mesh.Outgoing) {
		for i := range n {
			product := fmt.Sprintf("p%d", i)
			out = append(out, mesh.Outgoing{
				Subject: topology.CatalogSubject("default", lane, product),
				Body:    meshtest.Change(product, version),
				Version: version,
			})
		}
		return out
	}
	newest := func(product string) uint64 {
		c, err := state.New(m).Desired().Latest(t.Context(), "default", product)
		require.NoError(t, err)
		return c.GetVersion()
	}
	read := func() *mesh.Fence {
		f, err := m.Fence(t.Context(), "default")
		require.NoError(t, err)
		return f
	}

	elder := read()
	late := read()
	require.NoError(t, elder.Raise(t.Context()))
	require.ErrorIs(t, late.Raise(t.Context()), mesh.ErrFenced, "another has raised it since it was read")
	// One holder publishes from several goroutines, including more than one batch.
	var wg sync.WaitGroup
	failed := make(chan error, 64)
	for _, lane := range []topology.Lane{topology.Live, topology.Bulk} {
		for _, n := range []int{1, 7, 2300} {
			wg.Go(func() {
				for range 5 {
					failed <- elder.Publish(t.Context(), lane, states(lane, 5, n))
				}
			})
		}
	}
	wg.Wait()
	close(failed)
	for err := range failed {
		require.NoError(t, err)
	}
	require.NoError(t, elder.IsHeld(t.Context(), topology.Live))
	require.EqualValues(t, 5, newest("p2299"))

	younger := read()
	require.NoError(t, younger.Raise(t.Context()))
	require.NoError(t, younger.Publish(t.Context(), topology.Live, states(topology.Live, 7, 3)))
	for _, lane := range []topology.Lane{topology.Live, topology.Bulk} {
		for _, n := range []int{1, 2, 1200} {
			require.ErrorIs(t, elder.Publish(t.Context(), lane, states(lane, 9, n)), mesh.ErrFenced, "%d in lane %s", n,
				lane)
		}
		require.ErrorIs(t, elder.IsHeld(t.Context(), lane), mesh.ErrFenced)
	}
	require.EqualValues(t, 7, newest("p0"))
	require.EqualValues(t, 5, newest("p1199"), "nothing of a refused batch is stored")

	// Other accounts have their own fences.
	other, err := m.Fence(t.Context(), "other")
	require.NoError(t, err)
	require.NoError(t, other.Raise(t.Context()))
	require.NoError(t, younger.Publish(t.Context(), topology.Bulk, states(topology.Bulk, 8, 2)))

	// A stream that was emptied has no holder until a process raises the fence again.
	catalog, err := m.JetStream().Stream(t.Context(), topology.StreamCatalog)
	require.NoError(t, err)
	require.NoError(t, catalog.Purge(t.Context()))
	require.ErrorIs(t, younger.Publish(t.Context(), topology.Live, states(topology.Live, 9, 1)), mesh.ErrFenced)
	var again *mesh.Fence
	// A replica that has not emptied its copy yet still returns the old fence.
	require.Eventually(t, func() bool {
		again = read()
		err := again.Raise(t.Context())
		require.True(t, err == nil || errors.Is(err, mesh.ErrFenced), err)
		return err == nil
	}, 30*time.Second, 10*time.Millisecond)
	require.NoError(t, again.Publish(t.Context(), topology.Live, states(topology.Live, 9, 1)))
}

func TestFence_NamesOutdatedTopology(t *testing.T) {
	m := meshtest.Start(t)
	stream, err := m.JetStream().Stream(t.Context(), topology.StreamCatalog)
	require.NoError(t, err)
	cfg := stream.CachedInfo().Config
	cfg.Subjects = []string{"catalog.*.*.*"}
	_, err = m.JetStream().UpdateStream(t.Context(), cfg)
	require.NoError(t, err)
	fence, err := m.Fence(t.Context(), "default")
	require.NoError(t, err)
	err = fence.Raise(t.Context())
	require.ErrorContains(t, err, "driftless topology apply")
	require.NotErrorIs(t, err, mesh.ErrFenced)
}
