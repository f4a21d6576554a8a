package reconciliation_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/controltest"
)

// Without events the outbox stays empty: neither those of before stay in it, nor do new ones come.
func TestEvents_OffLeaveNothingInTheOutbox(t *testing.T) {
	t.Parallel()
	rig := controltest.New(t)
	stop := rig.Start()
	conn, err := pgx.Connect(t.Context(), rig.Config.LedgerURL)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	outbox := func() (n int) {
		require.NoError(t, conn.QueryRow(t.Context(), `SELECT count(*) FROM driftless_ledger.event_outbox`).Scan(&n))
		return n
	}
	live := func(id string) {
		t.Helper()
		rig.DesireProduct(&catalogv1.Product{Id: id, Name: id}, 10)
		_, err := rig.Stores.Observed().Update(t.Context(), "default", id, func(o *catalogv1.Observed) error {
			o.Product, o.Version = &catalogv1.Product{Id: id, Name: id, Active: proto.Bool(true)}, 10
			return nil
		})
		require.NoError(t, err)
		rig.Eventually(id, controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	}
	accept := rig.RefuseMessages(topology.StreamEvents)
	live("mug")
	require.Positive(t, outbox(), "the event that the mug is live waits")
	stop()
	accept()

	rig.Config.NoEvents = true
	rig.Start()
	require.Eventually(t, func() bool { return outbox() == 0 }, controltest.Patience, 10*time.Millisecond)
	live("cup")
	require.Zero(t, outbox())
	s, err := rig.Mesh.JetStream().Stream(t.Context(), topology.StreamEvents)
	require.NoError(t, err)
	require.Zero(t, s.CachedInfo().State.Msgs)
}
