package reconciliation_test

import (
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/controltest"
)

// NATS remembers that the catalog was read. A ledger that was lost since then must not count as equal.
func TestLedger_LostIsReadAgain(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	stop, _ := changedAfterCopy(t, r)
	stop()
	r.DropLedger()

	var claims atomic.Int64
	r.Start()
	quit := r.AsksStatus(func(s *controlv1.GetStatusResponse) {
		if s.GetEquality().GetUnknown() == "" && s.GetInSync()+s.GetPending() != 3 {
			claims.Add(1)
		}
	})
	r.Eventually("pen", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	r.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	// Nobody knows any more that others renamed it, so it has the grace period.
	r.Eventually("cap", controlv1.ProductState_PRODUCT_STATE_PENDING)
	r.Known()
	quit()
	require.Zero(t, claims.Load(), "no answer rests on the empty ledger")
	require.Contains(t, r.Kinds("mug"), "applied")
	require.Len(t, kindsOf(r, "mug", "catalog_change"), 2)
}
