package reconciliation

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/doctor"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

func TestSelfChecker_MakesTheChecksOfReconciliation(t *testing.T) {
	t.Parallel()
	r := &reconciler{mesh: new(mesh.Mesh)}
	require.ElementsMatch(t, doctor.OwnChecks(topology.Reconciliation), r.selfChecker().Covers())
}
