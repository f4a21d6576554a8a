package control_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/controltest"
)

func TestResolveDrift_AppliesDecision(t *testing.T) {
	r := controltest.New(t)
	r.SetPolicy(map[string]catalog.Rule{"name": {Action: catalog.Report}})
	writeBacks := r.WriteBacks()
	commands := r.Commands("mug")
	r.Start()
	r.Desire("mug", "Mug", 10)
	r.Observe("mug", "Mug", 10)
	r.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	r.Observe("mug", "By hand", 10)
	require.Equal(t, "report", r.EventuallyDrift("mug", "found").GetDifference().GetAction())
	reported := controltest.Ask[controlv1.PlanResponse](r, "Plan", `{}`).GetProducts()
	require.Len(t, reported, 1)
	require.Empty(t, reported[0].GetSteps(), "nothing would be done")
	require.Equal(t, "By hand", reported[0].GetDrift()[0].GetDifference().GetStripe())
	require.Equal(t, []*controlv1.DriftCount{{Kind: "field", State: "found", Count: 1}}[0].GetKind(),
		controltest.Ask[controlv1.GetStatusResponse](r, "GetStatus", `{}`).GetDrift()[0].GetKind())

	status, answer := r.Call("ResolveDrift", `{"product_id":"cup","keep":"KEEP_STRIPE"}`)
	require.Equal(t, http.StatusNotFound, status, string(answer))
	status, _ = r.Call("ResolveDrift", `{"product_id":"mug"}`)
	require.Equal(t, http.StatusBadRequest, status)

	require.Len(t, controltest.Ask[controlv1.IgnoreDriftResponse](r, "IgnoreDrift", `{"product_id":"mug"}`).GetDrift(),
		1)
	r.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	controltest.Ask[controlv1.ResolveDriftResponse](r, "ResolveDrift",
		`{"product_id":"mug","fields":["name"],"keep":"KEEP_STRIPE"}`)
	require.Equal(t, "By hand", (<-writeBacks).GetProduct().GetName())
	controltest.Ask[controlv1.ResolveDriftResponse](r, "ResolveDrift", `{"product_id":"mug","keep":"KEEP_CATALOG"}`)
	require.Eventually(t, func() bool { return commands.Load() == 1 }, controltest.Patience, 10*time.Millisecond)
	r.Observe("mug", "Mug", 10)
	r.EventuallyDrift("mug", "repaired")
	r.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
}

// The command after a decision is another one than the repair before it, which JetStream remembers.
func TestResolveDrift_CommandsAtOnceAfterRepair(t *testing.T) {
	r := controltest.New(t)
	commands := r.Commands("mug")
	r.Start()
	r.AckCatalog()
	r.Desire("mug", "Mug", 10)
	r.Observe("mug", "Mug", 10)
	r.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	r.Observe("mug", "by hand", 10)
	r.EventuallyDrift("mug", "repairing")
	for n := range int64(3) {
		require.Eventually(t, func() bool { return commands.Load() == n+1 }, controltest.Patience, 10*time.Millisecond,
			"command %d", n+1)
		status, answer := r.Call("ResolveDrift", `{"productId": "mug", "keep": "KEEP_CATALOG"}`)
		require.Equal(t, http.StatusOK, status, string(answer))
	}
	require.Eventually(t, func() bool { return commands.Load() == 4 }, controltest.Patience, 10*time.Millisecond)
}

func TestIgnoredDriftWithNUL_StaysIgnored(t *testing.T) {
	r := controltest.New(t)
	r.Start()
	r.AckCatalog()
	r.Observe("mug", "Mug", 1)
	r.Desire("mug", "Mug", 1)
	r.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	r.Observe("mug", "M\x00ug", 1)
	r.EventuallyDrift("mug", "repairing")
	controltest.Ask[controlv1.IgnoreDriftResponse](r, "IgnoreDrift", `{"product_id":"mug"}`)
	_, err := r.Stores.Observed().Update(t.Context(), "default", "mug", func(o *catalogv1.Observed) error {
		o.ProductUpdated++
		return nil
	})
	require.NoError(t, err)
	r.Idle()
	require.Equal(t, "ignored", r.Drift("mug")[0].GetState())
	// A different text is a different value, even if the cleaned texts look alike.
	r.Observe("mug", "M\u2400ug", 1)
	r.EventuallyDrift("mug", "repairing")
}
