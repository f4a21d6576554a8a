package control_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/controltest"
)

func TestSyncProducts_SyncsEverythingThatMatchesPageByPage(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	r.Start()
	_, err := localtest.Pool(t, r.Config.LedgerURL).Exec(t.Context(), `INSERT INTO driftless_ledger.product
		(account, product_id, desired_json) SELECT 'default', kind || lpad(i::text, 3, '0'), '{"product": {"name": "x"}}'
		FROM generate_series(1, 205) i, unnest(ARRAY['mug-', 'cup-']) kind`)
	require.NoError(t, err)
	refused := func(body, want string) {
		status, answer := r.Call("SyncProducts", body)
		require.NotEqual(t, http.StatusOK, status)
		require.Contains(t, string(answer), want)
	}
	refused(`{}`, "or matching must be given")
	refused(`{"matching":{}}`, "nothing is selected")
	refused(`{"matching":{"filter":{"search":" "}}}`, "nothing is selected")
	refused(`{"matching":{"all":true,"filter":{"search":"mug"}}}`, "only one of them can be given")
	refused(`{"matching":{"filter":{"search":"mug"},"at_most":204}}`, "205 products match now")
	require.Zero(t, r.Messages(topology.StreamCommand))

	first := controltest.Ask[controlv1.SyncProductsResponse](r, "SyncProducts",
		`{"matching":{"filter":{"search":"mug"},"at_most":205}}`).GetMatched()
	require.EqualValues(t, 205, first.GetTotal())
	require.EqualValues(t, 200, first.GetProducts())
	require.Equal(t, "mug-200", first.GetNext())
	last := controltest.Ask[controlv1.SyncProductsResponse](r, "SyncProducts",
		`{"matching":{"filter":{"search":"mug"},"at_most":1,"after":"mug-200"}}`).GetMatched()
	require.EqualValues(t, 5, last.GetProducts())
	require.Zero(t, last.GetTotal())
	require.Empty(t, last.GetNext())
	require.EqualValues(t, 205+2, r.Messages(topology.StreamCommand), "one for each product, and one for each page")
}

func TestDecide_DecidesDriftOfWhatMatches(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	report := catalog.Rule{Action: catalog.Report}
	r.SetPolicy(map[string]catalog.Rule{"name": report})
	r.Start()
	for i := range 3 {
		id := fmt.Sprintf("mug-%d", i)
		r.Desire(id, "Mug", 10)
		r.Observe(id, "Mug", 10)
		r.Eventually(id, controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
		r.Observe(id, "By hand", 10)
		r.EventuallyDrift(id, "found")
	}
	counts := func() uint64 {
		return controltest.Ask[controlv1.SearchProductsResponse](r, "SearchProducts",
			`{"filter":{"drift_kinds":["field"]}}`).GetTotal()
	}
	require.EqualValues(t, 3, counts())

	of := func(filter string) *controlv1.IgnoreDriftResponse {
		return controltest.Ask[controlv1.IgnoreDriftResponse](r, "IgnoreDrift", `{"matching":{"filter":`+filter+`}}`)
	}
	require.Empty(t, of(`{"drift_kinds":["field"],"causes":["dashboard"]}`).GetDrift(), "nobody knows the cause")
	ignored := of(`{"drift_kinds":["field"],"product_ids":["mug-0","mug-2"]}`)
	require.Len(t, ignored.GetDrift(), 2)
	require.EqualValues(t, 2, ignored.GetMatched().GetTotal())
	r.Eventually("mug-2", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	require.Equal(t, "found", r.Drift("mug-1")[0].GetState())
	again := of(`{"search":"mug"}`)
	require.EqualValues(t, 1, again.GetMatched().GetTotal(), "ignored drift does not match again")

	for i := range 3 {
		r.Observe(fmt.Sprintf("mug-%d", i), "Again by hand", 10)
		r.EventuallyDrift(fmt.Sprintf("mug-%d", i), "found")
	}
	resolved := controltest.Ask[controlv1.ResolveDriftResponse](r, "ResolveDrift",
		`{"matching":{"filter":{"search":"mug"}},"keep":"KEEP_CATALOG"}`)
	require.Len(t, resolved.GetDrift(), 3)
	require.Empty(t, resolved.GetMatched().GetFailures())
	for _, body := range []string{`{"keep":"KEEP_CATALOG"}`, `{"product_id":"a","matching":{"all":true},"keep":1}`} {
		status, answer := r.Call("ResolveDrift", body)
		require.Equal(t, http.StatusBadRequest, status, string(answer))
	}
}

func TestApproveAndReject_TakeWhatMatches(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	r.Start()
	commands := r.PushCommands()
	for _, id := range []string{"mug", "cup", "pot"} {
		holdPrice(r, id, "amount_change")
	}
	chains := controltest.Ask[controlv1.GetPriceChainResponse](r, "GetPriceChain", `{"product_id":"mug"}`).GetChains()
	require.Len(t, chains, 1)
	require.Len(t, chains[0].GetPrices(), 1)
	require.True(t, chains[0].GetPrices()[0].GetActive())
	require.Nil(t, chains[0].GetPrices()[0].GetOrigin(), "no call of push is known")
	status, answer := r.Call("GetPriceChain", `{"product_id":"none"}`)
	require.Equal(t, http.StatusNotFound, status, string(answer))

	approved := controltest.Ask[controlv1.ApproveResponse](r, "Approve",
		`{"matching":{"filter":{"rules":["amount_change"],"search":"mug"},"at_most":1},"reason":"yes"}`)
	require.Equal(t, []string{"mug"}, approved.GetProductIds())
	require.EqualValues(t, 1, approved.GetMatched().GetTotal())
	require.Equal(t, "mug", (<-commands).GetApprove().GetProductId())
	rejected := controltest.Ask[controlv1.RejectResponse](r, "Reject",
		`{"matching":{"filter":{"search":"cup"}},"reason":"no"}`)
	require.Len(t, rejected.GetRejections(), 1)
	require.Equal(t, "cup", rejected.GetRejections()[0].GetProductId())
	none := controltest.Ask[controlv1.ApproveResponse](r, "Approve",
		`{"matching":{"filter":{"states":["PRODUCT_STATE_DEAD"]}},"reason":"yes"}`)
	require.Empty(t, none.GetProductIds(), "only held products can be approved")
	for _, body := range []string{
		`{"matching":{"all":true},"all":true,"reason":"yes"}`, `{"matching":{"all":true},"after":"a","reason":"yes"}`,
		`{"matching":{"all":true},"duration":"60s","reason":"yes"}`, `{"matching":{},"reason":"yes"}`,
	} {
		status, answer := r.Call("Approve", body)
		require.Equal(t, http.StatusBadRequest, status, "%s: %s", body, answer)
	}
}

func TestDeadLetters_AreReplayedAndDroppedByFilter(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	r.Start()
	r.AddDeadLetter("push", "mug", "refused", 1)
	r.AddDeadLetter("ingestion", "mug", "invalid", 0)
	r.AddDeadLetter("push", "cup", "refused", 1)
	r.AddDeadLetter("push", "pot", "refused", 1)
	commands := r.PushCommands()
	replayed := controltest.Ask[controlv1.ReplayDeadLettersResponse](r, "ReplayDeadLetters",
		`{"selection":{"matching":{"filter":{"search":"cup"}}}}`)
	require.Len(t, replayed.GetResults(), 1)
	require.Equal(t, "cup", (<-commands).GetSync().GetProductId())
	dropped := controltest.Ask[controlv1.DropDeadLettersResponse](r, "DropDeadLetters",
		`{"selection":{"matching":{"filter":{"dead_reasons":["refused"],"product_ids":["mug","pot"]}}}}`)
	require.EqualValues(t, 2, dropped.GetMatched().GetTotal())
	require.Len(t, dropped.GetResults(), 2)
	require.Equal(t, []string{"ingestion mug", "push cup"}, r.Letters(`{}`), "the other reason stays")
	status, answer := r.Call("DropDeadLetters", `{"selection":{"reason":"refused","matching":{"all":true}}}`)
	require.Equal(t, http.StatusBadRequest, status, string(answer))
}
