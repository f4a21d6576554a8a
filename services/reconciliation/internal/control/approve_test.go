package control_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/controltest"
)

func TestApprove_SyncsHeldProducts(t *testing.T) {
	r := controltest.New(t)
	r.Start()
	require.Nil(t, controltest.Ask[controlv1.GetStatusResponse](r, "GetStatus", `{}`).GetGuard())
	_, err := r.Stores.Guard("default").CompareAndPut(t.Context(), &meshv1.Guard{
		Since:     timestamppb.Now(),
		Archived:  10,
		Recent:    []string{"x"},
		Held:      []string{"mug", "poster"},
		HeldSince: timestamppb.Now(),
		Products:  100,
		Allowed:   10,
	}, 0)
	require.NoError(t, err)
	require.Len(t, controltest.Ask[controlv1.GetStatusResponse](r, "GetStatus", `{}`).GetGuard().GetHeld(), 2)

	var mu sync.Mutex
	ordered := map[string]string{}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- mesh.Consume(ctx, r.Mesh, mesh.Worker{Service: topology.Push, Consumer: topology.PushCommand},
			func(_ context.Context, msg mesh.Message[*meshv1.Command]) mesh.Verdict {
				mu.Lock()
				defer mu.Unlock()
				ordered[msg.Body.GetSync().GetProductId()] = msg.Body.GetIssuer()
				return mesh.Ack()
			})
	}()
	t.Cleanup(func() { cancel(); require.NoError(t, <-done) })

	status, answer := r.Call("Approve", `{"duration":"100000s"}`)
	require.Equal(t, 400, status, string(answer))
	approved := controltest.Ask[controlv1.ApproveResponse](r, "Approve", `{"duration":"600s"}`)
	require.Equal(t, []string{"mug", "poster"}, approved.GetProductIds())
	require.WithinDuration(t, time.Now().Add(10*time.Minute), approved.GetUntil().AsTime(), time.Minute)
	require.Eventually(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return ordered["mug"] == "operator" && ordered["poster"] == "operator"
	}, controltest.Patience, 10*time.Millisecond)
	guard := controltest.Ask[controlv1.GetStatusResponse](r, "GetStatus", `{}`).GetGuard()
	require.Empty(t, guard.GetHeld())
	require.NotNil(t, guard.GetApprovedUntil())

	status, answer = r.Call("Approve", `{}`)
	require.Equal(t, 400, status, string(answer))
	require.Contains(t, string(answer), "the guard holds nothing")
	require.Nil(t, controltest.Ask[controlv1.ApproveResponse](r, "Approve", `{"duration":"0s"}`).GetUntil())
	require.Nil(t, controltest.Ask[controlv1.GetStatusResponse](r, "GetStatus", `{}`).GetGuard().GetApprovedUntil(),
		"it is over at once")
}

func TestPlan_ReportsUnknownPausedAndHalted(t *testing.T) {
	r := controltest.New(t)
	r.Start()
	plan := controltest.Ask[controlv1.PlanResponse](r, "Plan", `{"product_ids":["no-mug"]}`)
	require.Equal(t, []string{"no-mug"}, plan.GetUnknown())
	require.Empty(t, plan.GetPaused())
	controltest.Ask[controlv1.PauseResponse](r, "Pause", `{"services":["ingestion"]}`)
	plan = controltest.Ask[controlv1.PlanResponse](r, "Plan", `{}`)
	require.Empty(t, plan.GetUnknown())
	require.Len(t, plan.GetPaused(), 1)
	require.Equal(t, "ingestion", plan.GetPaused()[0].GetService())
}
