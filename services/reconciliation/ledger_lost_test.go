package reconciliation_test

import (
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/controltest"
)

// NATS remembers that the catalog was read. A ledger that was lost since then must not count as equal.
func TestLedger_LostIsReadAgain(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	stop, _ := changedAfterCopy(t, r)
	r.Desire("bag", "Bag", 14)
	r.Eventually("bag", controlv1.ProductState_PRODUCT_STATE_PENDING)
	r.Idle()
	scanned := &meshv1.ScanReport{Id: "scan", StartedAt: timestamppb.Now(), FinishedAt: timestamppb.Now()}
	require.NoError(t, r.Stores.Record(topology.KeyScan, "default").Put(t.Context(), scanned))
	stop()
	r.DropLedger()

	var claims atomic.Int64
	r.Start()
	quit := r.AsksStatus(func(s *controlv1.GetStatusResponse) {
		if s.GetEquality().GetUnknown() == "" && s.GetInSync()+s.GetPending() != 4 {
			claims.Add(1)
		}
	})
	// Only the bag is not linked.
	quitPlans := controltest.AskAgain(r, "PlanAdoption", func(p *controlv1.PlanAdoptionResponse) {
		if p.GetUnknown() == "" && p.GetCatalogProducts() != 1 {
			claims.Add(1)
		}
	})
	r.Eventually("pen", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	r.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	// Nobody knows any more that others renamed it, so it has the grace period.
	r.Eventually("cap", controlv1.ProductState_PRODUCT_STATE_PENDING)
	r.Known()
	quit()
	quitPlans()
	require.Zero(t, claims.Load(), "no answer rests on the empty ledger")
	require.Contains(t, r.Kinds("mug"), "applied")
	require.Len(t, kindsOf(r, "mug", "catalog_change"), 2)
}
