package mesh_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/mesh/meshtest"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// Range reads streams with and without direct get, page by page, and leaves out messages of other accounts.
func TestMesh_RangeReadsEveryMessageOnce(t *testing.T) {
	t.Parallel()
	m := meshtest.Start(t)
	const n = 600
	kind := meshv1.OutcomeKind_OUTCOME_KIND_APPLIED
	for i := range n {
		account := []string{"default", "other"}[i%2]
		id := fmt.Sprintf("p%d", i)
		require.NoError(t, m.Publish(t.Context(), topology.CatalogSubject(account, topology.Live, id),
			&catalogv1.ProductChange{Account: account, ProductId: id, Version: 1}, mesh.WithVersion(1)))
		require.NoError(t, m.Publish(t.Context(), topology.SyncSubject(account, kind, id),
			&meshv1.Outcome{Id: id, Account: account, ProductId: id, Kind: kind, At: timestamppb.Now()},
			mesh.WithID(id)))
	}
	for _, c := range []topology.Consumer{topology.ReconciliationCatalog, topology.ReconciliationSync} {
		var got []uint64
		for from := uint64(3); from <= n-3; {
			messages, next, err := m.Range(t.Context(), c, from, n-3)
			require.NoError(t, err)
			require.Greater(t, next, from)
			for _, msg := range messages {
				got = append(got, msg.Sequence)
			}
			from = next
		}
		require.Len(t, got, n/2-2, c.Stream)
		require.IsIncreasing(t, got, c.Stream)
		require.EqualValues(t, 3, got[0], c.Stream)
		require.EqualValues(t, n-3, got[len(got)-1], c.Stream)
	}
}
