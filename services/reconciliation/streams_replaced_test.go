package reconciliation_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/controltest"
)

// scanned stores the report of a scan that has read all of Stripe now.
func scanned(t *testing.T, r *controltest.Rig) {
	t.Helper()
	// Another host may have another clock.
	now := timestamppb.New(r.Now().Add(time.Minute))
	require.NoError(t, r.Stores.Record(topology.KeyScan, "default").Put(t.Context(),
		&meshv1.ScanReport{Id: "scan", StartedAt: now, FinishedAt: now}))
}

// compared stores the report of an ingestion that has compared all tables with CATALOG now.
func compared(c *meshv1.CaptureReport) {
	later := timestamppb.New(c.GetAt().AsTime().Add(time.Minute))
	c.Compared = &meshv1.TableComparison{StartedAt: later, FinishedAt: later}
}

// NATS was made again. The mug is as before. The cup was deleted from the tables meanwhile, and the pen in Stripe. The
// bag has another name on both sides, with versions of a new beginning.
func TestStreams_MadeAgainAreComparedWithLedger(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	r.Config.GracePeriod = time.Hour
	stop := r.Start()
	for i, id := range []string{"mug", "cup", "pen", "bag"} {
		r.Desire(id, "Old", uint64(100+i))
		r.Observe(id, "Old", uint64(100+i))
		r.Eventually(id, controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	}
	stop()

	r.EmptyNATS()
	r.Start()
	r.Pull()
	r.AckCatalog()
	for i, id := range []string{"mug", "pen", "bag"} {
		name := "Old"
		if id == "bag" {
			name = "New"
		}
		r.Desire(id, name, uint64(10+i))
	}
	for _, id := range []string{"mug", "cup"} {
		r.Observe(id, "Old", 10)
	}
	r.Observe("bag", "New", 12)
	r.Idle()
	require.Eventually(t, func() bool {
		r.Report(nil)
		unknown := r.Equality().GetUnknown()
		require.Contains(t, unknown, "is not the one that the ledger was made from")
		return strings.Contains(unknown,
			"a scan of Stripe has to end, and ingestion has to compare the tables with CATALOG first")
	}, controltest.Patience, 20*time.Millisecond)
	require.Positive(t, r.Messages(topology.StreamCommand), "both were commanded")

	scanned(t, r)
	require.Eventually(t, func() bool {
		r.Report(compared)
		return r.Equality().GetUnknown() == ""
	}, 2*controltest.Patience, 50*time.Millisecond)
	r.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	r.Eventually("bag", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	require.Equal(t, []string{"cup", "pen"}, planned(r))
	listed := controltest.Ask[controlv1.ListProductsResponse](r, "ListProducts",
		fmt.Sprintf(`{"product_ids":[%q]}`, "bag")).GetProducts()
	require.Len(t, listed, 1)
}

// Without its link, an edit of an adopted product in Stripe is taken for that of another product.
func TestLinks_LostAreUnknown(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	require.NoError(t, r.Stores.Links().Put(t.Context(), "default", "prod_cup", "cup"))
	stop := r.Start()
	r.Pull()
	r.AckCatalog()
	for _, id := range []string{"mug", "cup"} {
		require.NoError(t, r.Stores.Links().Put(t.Context(), "default", "prod_"+id, id))
		_, err := r.Stores.Observed().Update(t.Context(), "default", id, func(o *catalogv1.Observed) error {
			o.Product = &catalogv1.Product{Id: id, Name: id, Active: proto.Bool(true)}
			o.Version, o.StripeId = 10, "prod_"+id
			return nil
		})
		require.NoError(t, err)
	}
	r.Idle()
	r.Known()

	// The bucket is made again while reconciliation runs, and gets one of the two links.
	require.NoError(t, r.Mesh.JetStream().DeleteStream(t.Context(), "KV_"+topology.BucketLink))
	require.NoError(t, topology.Apply(t.Context(), r.Mesh.JetStream(), topology.Options{}))
	require.NoError(t, r.Stores.Links().Put(t.Context(), "default", "prod_cup", "cup"))
	const lost = "LINK lacks links of adopted products (1, such as mug)"
	unknownBecause(t, r, lost)
	stop()
	r.Start()
	unknownBecause(t, r, lost)
	require.NoError(t, r.Stores.Links().Put(t.Context(), "default", "prod_mug", "mug"))
	require.Eventually(t, func() bool {
		r.Report(nil)
		status, answer := r.Call("GetStatus", `{}`)
		return status == http.StatusOK && !strings.Contains(string(answer), lost)
	}, 3*controltest.Patience, 100*time.Millisecond)
}
