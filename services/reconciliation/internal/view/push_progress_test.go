package view

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// handle acknowledges a consumer's next messages.
func handle[T any, M interface {
	*T
	proto.Message
}](t *testing.T, m *mesh.Mesh, c topology.Consumer, n int, then func(M)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	require.NoError(t,
		mesh.Consume(ctx, m, mesh.Worker{Service: topology.Reconciliation, Consumer: c},
			func(_ context.Context, msg mesh.Message[M]) mesh.Verdict {
				if then != nil {
					then(msg.Body)
				}
				if n--; n == 0 {
					cancel()
				}
				return mesh.Ack()
			}))
	require.Zero(t, n)
	require.Eventually(t, func() bool {
		all, err := m.Consumers(t.Context())
		require.NoError(t, err)
		for _, status := range all {
			if status.Consumer == c {
				return status.InFlight == 0
			}
		}
		return false
	}, 10*time.Second, 5*time.Millisecond)
}

func TestProgress_WaitsForLedger(t *testing.T) {
	url, _ := localtest.NATS(t)
	m, err := mesh.Connect(t.Context(), mesh.Config{URL: url, Name: "test"})
	require.NoError(t, err)
	t.Cleanup(m.Close)
	require.NoError(t, topology.Apply(t.Context(), m.JetStream(), topology.Options{}))

	p := &PushProgress{}
	position := func() uint64 {
		t.Helper()
		sequence, err := p.Update(t.Context(), m)
		require.NoError(t, err)
		return sequence
	}
	publish := func(product string, version uint64) {
		change := &catalogv1.ProductChange{Account: "default", ProductId: product, Version: version}
		require.NoError(t,
			m.Publish(t.Context(), topology.CatalogSubject("default", topology.Live, product), change,
				mesh.WithVersion(version)))
	}
	push := func(change *catalogv1.ProductChange) {
		_, err := state.New(m).Observed().Update(t.Context(), "default", change.GetProductId(),
			func(o *catalogv1.Observed) error {
				o.Version = change.GetVersion()
				return nil
			})
		require.NoError(t, err)
	}
	require.Equal(t, uint64(allSequences), position(), "there is nothing to wait for")

	publish("a", 1)
	publish("b", 2)
	publish("c", 3)
	handle[catalogv1.ProductChange](t, m, topology.ReconciliationCatalog, 3, nil)
	require.EqualValues(t, 0, position(), "push has come to nothing")
	handle(t, m, topology.PushLive, 2, push)
	require.EqualValues(t, 0, position(), "the ledger does not know what push has stored")
	handle[catalogv1.Observed](t, m, topology.ReconciliationObserved, 2, nil)
	require.EqualValues(t, 2, position())

	handle(t, m, topology.PushLive, 1, push)
	require.EqualValues(t, 2, position(), "push is done, and the ledger is behind")
	handle[catalogv1.Observed](t, m, topology.ReconciliationObserved, 1, nil)
	require.Equal(t, uint64(allSequences), position())

	publish("d", 4)
	handle(t, m, topology.PushLive, 1, push)
	handle[catalogv1.Observed](t, m, topology.ReconciliationObserved, 1, nil)
	require.NotEqual(t, uint64(allSequences), position(), "the ledger does not know what the catalog wants")
}
