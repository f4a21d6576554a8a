package ingestion

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/doctor"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

func TestSelfChecker_MakesTheChecksOfIngestion(t *testing.T) {
	t.Parallel()
	in := &ingester{mesh: new(mesh.Mesh)}
	require.ElementsMatch(t, doctor.OwnChecks(topology.Ingestion), in.selfChecker().Covers())
}

// The examination costs the catalog database much, so one replica makes it.
func TestSelfChecker_LeavesTheExaminationToTheActiveReplica(t *testing.T) {
	t.Parallel()
	in := &ingester{mesh: new(mesh.Mesh)}
	require.False(t, in.leavesExamination(), "a replica without a role cannot do its work, and should say why")
	in.turns.isStandby.Store(true)
	require.True(t, in.leavesExamination())
	in.turns.turn.Store(&turn{})
	require.False(t, in.leavesExamination())
}
