package reconciliation

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

func TestLooksLater_OnlyWhileConsumersAreBehind(t *testing.T) {
	t.Parallel()
	behind := []mesh.ConsumerStatus{
		{Consumer: topology.ReconciliationCatalog, Pending: 1},
		{Consumer: topology.ReconciliationObserved},
	}
	r := &reconciler{looks: map[string]look{}}
	require.False(t, r.looksLater(topology.StreamCatalog, behind), "it was never looked at")
	r.looks[topology.StreamCatalog] = look{ended: time.Now(), took: time.Minute}
	require.True(t, r.looksLater(topology.StreamCatalog, behind))
	require.False(t, r.looksLater(topology.ReconciliationObserved.Stream, behind), "each stream has its own pause")
	behind[0].Pending = 0
	require.False(t, r.looksLater(topology.StreamCatalog, behind), "equality may be known now")
	behind[0].InFlight = 1
	require.True(t, r.looksLater(topology.StreamCatalog, behind))
	r.looks[topology.StreamCatalog] = look{ended: time.Now().Add(-time.Hour), took: time.Minute}
	require.False(t, r.looksLater(topology.StreamCatalog, behind), "the pause is over")
}
