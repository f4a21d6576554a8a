package mesh_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/mesh/meshtest"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// A single server and a cluster check a message's expectations in different places.
func TestCommitter_OnOneServer(t *testing.T) {
	url, _ := localtest.NATS(t, localtest.SyncAlways)
	groupCommit(t, url, 1)
}

func TestCommitter_InCluster(t *testing.T) {
	groupCommit(t, localtest.Cluster(t), 3)
}

func groupCommit(t *testing.T, url string, replicas int) {
	t.Helper()
	m, err := mesh.Connect(t.Context(), mesh.Config{URL: url, Name: "test"})
	require.NoError(t, err)
	t.Cleanup(m.Close)
	options := topology.Options{Replicas: replicas}
	require.NoError(t, topology.Apply(t.Context(), m.JetStream(), options))
	diffs, err := topology.Plan(t.Context(), m.JetStream(), options)
	require.NoError(t, err)
	require.Empty(t, diffs)
	t.Run("only the failing message of a batch fails", func(t *testing.T) { onlyALoserFails(t, m) })
	t.Run("concurrent writers lose nothing", func(t *testing.T) { nothingIsLost(t, m) })
	t.Run("outcomes are batched and stored once", func(t *testing.T) { outcomesAreStoredOnce(t, m) })
}

// inBatches counts the latest messages of a stream that came in an atomic batch.
func inBatches(t *testing.T, m *mesh.Mesh, stream string) (n int) {
	t.Helper()
	s, err := m.JetStream().Stream(t.Context(), stream)
	require.NoError(t, err)
	for sequence := s.CachedInfo().State.FirstSeq; sequence <= s.CachedInfo().State.LastSeq; sequence++ {
		msg, err := s.GetMsg(t.Context(), sequence)
		if err == nil && msg.Header.Get("Nats-Batch-Id") != "" {
			n++
		}
	}
	return n
}

func observed(i int, version uint64) *catalogv1.Observed {
	return &catalogv1.Observed{Account: "default", ProductId: fmt.Sprintf("p%d", i), Version: version}
}

func onlyALoserFails(t *testing.T, m *mesh.Mesh) {
	t.Helper()
	const products, written = 200, 10
	store := state.New(m).Observed()
	for i := range written {
		_, err := store.Put(t.Context(), observed(i, 1), 0)
		require.NoError(t, err)
	}
	errs, revisions := make([]error, products), make([]uint64, products)
	var wg sync.WaitGroup
	for i := range products {
		wg.Go(func() { revisions[i], errs[i] = store.Put(t.Context(), observed(i, 2), 0) })
	}
	wg.Wait()
	for i := range products {
		o, revision, err := store.Get(t.Context(), "default", observed(i, 0).GetProductId())
		require.NoError(t, err)
		if i < written {
			require.ErrorIs(t, errs[i], state.ErrConflict, "product %d has been written before", i)
			require.EqualValues(t, 1, o.GetVersion())
			continue
		}
		require.NoError(t, errs[i], "product %d", i)
		require.EqualValues(t, 2, o.GetVersion())
		require.Equal(t, revision, revisions[i], "the revision is the message's own")
	}
	// Without a failing message they go together.
	for i := range products {
		wg.Go(func() {
			_, errs[i] = store.Update(t.Context(), "default", observed(i, 0).GetProductId(),
				func(o *catalogv1.Observed) error {
					o.Version = 3
					return nil
				})
		})
	}
	wg.Wait()
	for i := range products {
		require.NoError(t, errs[i])
	}
	require.Greater(t, inBatches(t, m, "KV_"+topology.BucketObserved), products/4)
}

func nothingIsLost(t *testing.T, m *mesh.Mesh) {
	t.Helper()
	stores := state.New(m)
	const products, writers, each, first = 5, 40, 5, 1000
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for range each {
				_, err := stores.Observed().Update(t.Context(), "default", observed(first+w%products, 0).GetProductId(),
					func(o *catalogv1.Observed) error {
						o.Generation++
						return nil
					})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for i := range products {
		// A replica may lag.
		require.EventuallyWithT(t, func(c *assert.CollectT) {
			o, _, err := stores.Observed().Get(t.Context(), "default", observed(first+i, 0).GetProductId())
			require.NoError(c, err)
			require.EqualValues(c, writers/products*each, o.GetGeneration())
		}, 30*time.Second, 10*time.Millisecond)
	}
}

func outcomesAreStoredOnce(t *testing.T, m *mesh.Mesh) {
	t.Helper()
	const outcomes = 200
	publish := func(i int) error {
		id := fmt.Sprintf("outcome-%d", i)
		return m.Publish(t.Context(), topology.SyncSubject("default", meshv1.OutcomeKind_OUTCOME_KIND_APPLIED, id),
			&meshv1.Outcome{Id: id}, mesh.WithID(id))
	}
	for i := range outcomes / 10 {
		require.NoError(t, publish(i))
	}
	// Duplicates do not fail the others.
	for range 2 {
		var wg sync.WaitGroup
		for i := range outcomes {
			wg.Go(func() {
				if err := publish(i); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	s, err := m.JetStream().Stream(t.Context(), topology.StreamSync)
	require.NoError(t, err)
	require.EqualValues(t, outcomes, s.CachedInfo().State.Msgs)
}

func TestCommitter_StoresOneByOneWithoutBatchSupport(t *testing.T) {
	m := meshtest.Start(t)
	stores := state.New(m)
	s, err := m.JetStream().Stream(t.Context(), "KV_"+topology.BucketObserved)
	require.NoError(t, err)
	earlier := s.CachedInfo().Config
	earlier.AllowAtomicPublish = false
	_, err = m.JetStream().UpdateStream(t.Context(), earlier)
	require.NoError(t, err)
	diffs, err := topology.Plan(t.Context(), m.JetStream(), topology.Options{})
	require.NoError(t, err)
	require.Len(t, diffs, 1)
	require.Contains(t, diffs[0].String(), "atomic publish")

	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			if _, err := stores.Observed().Put(t.Context(), observed(i, 1), 0); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	n, err := stores.Observed().Count(t.Context(), "default")
	require.NoError(t, err)
	require.EqualValues(t, 200, n)

	require.NoError(t, topology.Apply(t.Context(), m.JetStream(), topology.Options{}))
	diffs, err = topology.Plan(t.Context(), m.JetStream(), topology.Options{})
	require.NoError(t, err)
	require.Empty(t, diffs)
}

// A message that the client does not send must not fail the rest of its batch.
func TestCommitter_TooLargeMessageFailsAlone(t *testing.T) {
	m := meshtest.Start(t)
	errs := make([]error, 100)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() {
			o := observed(i, 1)
			if i%30 == 5 {
				o.Claim = &catalogv1.Claim{Holder: string(make([]byte, 2*m.MaxBody()))}
			}
			_, errs[i] = state.New(m).Observed().Put(t.Context(), o, 0)
		})
	}
	wg.Wait()
	for i, err := range errs {
		if i%30 == 5 {
			require.ErrorIs(t, err, state.ErrTooLarge)
		} else {
			require.NoError(t, err)
		}
	}
}
