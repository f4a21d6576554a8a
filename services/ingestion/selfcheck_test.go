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
