package pull

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/doctor"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

func TestSelfChecker_MakesTheChecksOfPull(t *testing.T) {
	t.Parallel()
	require.ElementsMatch(t, doctor.OwnChecks(topology.Pull), selfChecker(Config{}, new(mesh.Mesh)).Covers())
}
