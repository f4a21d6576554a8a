package doctor_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/doctor"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

func TestMakers_OwnPartsOnly(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{topology.Ingestion}, doctor.Makers("database.publication"))
	require.Equal(t, []string{topology.Push}, doctor.Makers(doctor.StripeWritePrices))
	require.Equal(t, []string{topology.Reconciliation}, doctor.Makers(doctor.ServicesLost))
	require.Len(t, doctor.Makers(doctor.NATSPermissions), 4, "each user has rights of its own")
	// These need the topology's user, a monitoring port, or the way from outside.
	for _, id := range []string{
		doctor.NATSStream, doctor.NATSSync, doctor.StripeWebhookSecret, doctor.ServicesReachable, doctor.ServicesToken,
	} {
		require.Empty(t, doctor.Makers(id), id)
	}
	require.Contains(t, doctor.OwnChecks(topology.Reconciliation), doctor.LedgerRights)
	require.NotContains(t, doctor.OwnChecks(topology.Reconciliation), doctor.ServicesLost,
		"it is asked for each answer")
}
