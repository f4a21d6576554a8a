package e2e_test

import (
	"fmt"
	"net/url"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/stripesim"
)

// runScan orders a scan and waits for it. It calls meanwhile once when so many products have been listed, if after is
// not 0.
func (r *rig) runScan(after uint64, meanwhile func()) *meshv1.ScanReport {
	r.t.Helper()
	resp, err := r.control.StartScan(r.t.Context(), connect.NewRequest(&controlv1.StartScanRequest{}))
	require.NoError(r.t, err)
	for deadline := time.Now().Add(2 * patience); ; {
		report := r.lastScan()
		switch {
		case report.GetId() == resp.Msg.GetId() && report.GetFinishedAt() != nil:
			require.Zero(r.t, after, "the scan ended too early")
			return report
		case after > 0 && report.GetId() == resp.Msg.GetId() && report.GetProducts() >= after:
			after = 0
			meanwhile()
		}
		require.True(r.t, time.Now().Before(deadline), report)
		select {
		case <-r.t.Context().Done():
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// lastScan returns the report of the latest scan, nil if there was none.
func (r *rig) lastScan() *meshv1.ScanReport {
	r.t.Helper()
	scan, err := r.control.GetScan(r.t.Context(), connect.NewRequest(&controlv1.GetScanRequest{}))
	if connect.CodeOf(err) == connect.CodeNotFound {
		return nil
	}
	require.NoError(r.t, err)
	return scan.Msg.GetScan()
}

func (r *rig) listCalls() int {
	r.t.Helper()
	stats, err := r.admin.Stats(r.t.Context())
	require.NoError(r.t, err)
	return stats.Endpoints["GET /v1/products"].Requests + stats.Endpoints["GET /v1/prices"].Requests
}

// The test kills pull with kill -9 in the middle of a scan.
func TestScan_ContinuesAfterKill(t *testing.T) {
	t.Parallel()
	r := newRig(t, unlimited, processes())
	const products, edited, deleted = 1500, 20, 10
	unseen := r.admin
	unseen.Silent = true
	id := func(i int) string { return fmt.Sprintf("stray%d", i) }
	for i := range products {
		_, err := unseen.CreateProduct(t.Context(), url.Values{"id": {id(i)}, "name": {"Stray"}})
		require.NoError(t, err)
	}
	first := r.runScan(0, nil)
	require.EqualValues(t, products, first.GetProducts())
	whole := r.listCalls()

	for i := range edited {
		require.NoError(t, unseen.EditProduct(t.Context(), id(i*50), url.Values{"name": {"Renamed"}}))
	}
	for i := range deleted {
		require.NoError(t, unseen.DeleteProduct(t.Context(), id(i*100+25), false))
	}
	slow, err := r.admin.AddFault(t.Context(), stripesim.Fault{
		Kind:  stripesim.FaultLatency,
		Delay: 400 * time.Millisecond,
		Path:  "/v1/products",
	})
	require.NoError(t, err)
	var then uint64
	report := r.runScan(products/3, func() {
		r.kill(topology.Pull)
		then = r.lastScan().GetProducts()
		require.Nil(t, r.lastScan().GetFinishedAt())
		require.NoError(t, r.admin.RemoveFault(t.Context(), slow.ID))
		r.start(topology.Pull)
	})
	again := r.listCalls() - whole
	t.Logf("killed after %d of %d products; %d calls listed all undisturbed, %d with the kill", then, products, whole,
		again)
	require.NotZero(t, report.GetResumed())
	require.EqualValues(t, products-deleted, report.GetProducts(), "each is counted once")
	// The report leaves out corrections and removals between the last recorded position and the kill.
	require.LessOrEqual(t, report.GetCorrected(), uint64(edited))
	require.LessOrEqual(t, report.GetMissing(), uint64(deleted))
	// The pages since the last recorded position, up to a second old, are listed again.
	require.Less(t, again, whole+int(then)/100, "it does not begin again")

	for i := range products {
		want := "Stray"
		switch {
		case i%50 == 0 && i/50 < edited:
			want = "Renamed"
		case i%100 == 25 && i/100 < deleted:
			want = ""
		}
		o, _, err := r.stores.Observed().Get(t.Context(), "default", id(i))
		require.NoError(t, err)
		require.Equal(t, want, o.GetProduct().GetName(), id(i))
	}
	last := r.runScan(0, nil)
	require.Zero(t, last.GetCorrected()+last.GetMissing(), "nothing is left to correct")
}
