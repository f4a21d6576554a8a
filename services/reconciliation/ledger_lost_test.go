package reconciliation_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/controltest"
)

// NATS remembers that the catalog was read. A ledger that was lost since then must not count as equal.
func TestEquality_IsUnknownWithLostLedger(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	stop := r.Start()
	r.Desire("mug", "Mug", 10)
	r.Observe("mug", "Mug", 10)
	r.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	r.Idle()
	require.NotContains(t, r.Equality().GetUnknown(), "the ledger has no product")
	stop()

	conn, err := pgx.Connect(t.Context(), r.Config.LedgerURL)
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), "DROP SCHEMA driftless_ledger CASCADE")
	require.NoError(t, err)
	require.NoError(t, conn.Close(t.Context()))

	r.Start()
	require.Eventually(t, func() bool { return r.Equality().GetUnknown() != "" }, time.Minute, 10*time.Millisecond)
	require.Contains(t, r.Equality().GetUnknown(), "the ledger has no product, although the catalog was delivered to it")
}
