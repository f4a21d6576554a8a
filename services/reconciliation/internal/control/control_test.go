package control_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/controltest"
)

func TestPlan_ListsProductsThatDiffer(t *testing.T) {
	r := controltest.New(t)
	r.Config.GracePeriod = time.Hour
	r.Start()
	r.Desire("mug", "Mug", 10)
	r.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_PENDING)
	plan := controltest.Ask[controlv1.PlanResponse](r, "Plan", `{}`)
	require.Equal(t, "create product mug", plan.GetProducts()[0].GetSteps()[0].GetStep())
	require.NotZero(t, plan.GetInFlight(), "push has not seen it")
	r.Observe("mug", "Mug", 10)
	r.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	status := controltest.Ask[controlv1.GetStatusResponse](r, "GetStatus", `{}`)
	require.EqualValues(t, 1, status.GetInSync())
	require.NotEmpty(t, status.GetConsumers())
	require.Equal(t, []string{"catalog_change"}, r.Kinds("mug"))
}

func TestPlan_PagesLongPlans(t *testing.T) {
	r := controltest.New(t)
	r.Config.GracePeriod = time.Hour
	r.Start()
	var want []string
	for i := range 5 {
		want = append(want, fmt.Sprintf("p%d", i))
		r.Desire(want[i], "P", uint64(i+1))
	}
	r.Observe("same", "S", 6)
	r.Desire("same", "S", 6)
	require.Eventually(t,
		func() bool {
			return controltest.Ask[controlv1.GetStatusResponse](r, "GetStatus", `{}`).GetPending() == 5
		},
		controltest.Patience,
		10*time.Millisecond)
	r.Eventually("same", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)

	whole := controltest.Ask[controlv1.PlanResponse](r, "Plan", `{}`)
	require.Len(t, whole.GetProducts(), 5)
	require.False(t, whole.GetTruncated())
	require.False(t, controltest.Ask[controlv1.PlanResponse](r, "Plan", `{"limit":5}`).GetTruncated())
	var got []string
	for after, pages := "", 1; ; pages++ {
		page := controltest.Ask[controlv1.PlanResponse](r, "Plan", fmt.Sprintf(`{"limit":2,"after":%q}`, after))
		require.EqualValues(t, 6, page.GetCompared())
		for _, p := range page.GetProducts() {
			got = append(got, p.GetProductId())
		}
		if !page.GetTruncated() {
			require.Equal(t, 3, pages)
			break
		}
		require.Len(t, page.GetProducts(), 2)
		after = got[len(got)-1]
	}
	require.Equal(t, want, got)
	named := controltest.Ask[controlv1.PlanResponse](r, "Plan", `{"product_ids":["p1","p3","same"],"limit":1}`)
	require.Equal(t, "p1", named.GetProducts()[0].GetProductId())
	require.True(t, named.GetTruncated())

	status, answer := r.Call("Plan", `{"limit":10001}`)
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, string(answer), "limit: must be at most 10000")
}

func TestStartScan_CommandsAndReportsScan(t *testing.T) {
	r := controltest.New(t)
	r.Start()
	status, answer := r.Call("GetScan", `{}`)
	require.Equal(t, http.StatusNotFound, status, string(answer))
	id := controltest.Ask[controlv1.StartScanResponse](r, "StartScan", `{}`).GetId()
	stream, err := r.Mesh.JetStream().Stream(t.Context(), topology.StreamCommand)
	require.NoError(t, err)
	msg, err := stream.GetLastMsgForSubject(t.Context(),
		topology.CommandSubject(topology.Pull, "default", topology.VerbScan, ""))
	require.NoError(t, err)
	command := &meshv1.Command{}
	require.NoError(t, proto.Unmarshal(msg.Data, command))
	require.Equal(t, id, command.GetId())
	require.NotNil(t, command.GetScan())
	require.NoError(t,
		r.Stores.Record(topology.KeyScan, "default").Put(t.Context(), &meshv1.ScanReport{Id: id, Products: 3}))
	require.EqualValues(t, 3, controltest.Ask[controlv1.GetScanResponse](r, "GetScan", `{}`).GetScan().GetProducts())
}

func TestControlAPI_RefusesBadRequests(t *testing.T) {
	r := controltest.New(t)
	r.Config.Auth.Token = "secret"
	r.Start()
	status, _ := r.Call("GetStatus", `{}`)
	require.Equal(t, http.StatusUnauthorized, status)
	auth := []string{"Authorization", "Bearer secret"}
	status, answer := r.Call("Plan", `{"product_idz":[]}`, auth...)
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, string(answer), "product_idz")
	status, answer = r.Call("ListHistory", `{"product_id":"x","limit":5000}`, auth...)
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, string(answer), "limit: must be at most 1000")
}
