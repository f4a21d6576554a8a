package control_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/guard"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/controltest"
)

// priced is a product with one price.
func priced(id, amount string) *catalogv1.Product {
	return &catalogv1.Product{
		Id: id, Name: id,
		Prices: []*catalogv1.Price{{Id: id + "-eur", Currency: "eur", UnitAmount: amount, LookupKey: id + "-eur"}},
	}
}

// holdPrice makes the guard hold the change of a price from 1400 to 14.
func holdPrice(r *controltest.Rig, id string, rules ...string) {
	r.DesireProduct(priced(id, "14"), 2)
	r.Hold(priced(id, "1400"), 2, rules...)
}

// receive returns the next commands to push, by product.
func receive(t *testing.T, commands chan *meshv1.Command, n int) map[string]*meshv1.Command {
	t.Helper()
	out := map[string]*meshv1.Command{}
	for range n {
		select {
		case c := <-commands:
			out[c.GetApprove().GetProductId()+c.GetSync().GetProductId()] = c
		case <-time.After(controltest.Patience):
			require.Fail(t, "a command is missing", "%v", out)
		}
	}
	require.Empty(t, commands)
	return out
}

func TestApprove_SendsApprovalOfHeldVersion(t *testing.T) {
	r := controltest.New(t)
	r.Start()
	commands := r.PushCommands()
	holdPrice(r, "mug", "amount_change")
	holdPrice(r, "cup", "amount_change")
	out := controltest.Ask[controlv1.ApproveResponse](r, "Approve",
		`{"product_ids":["mug","mug"],"actor":"ann@shop","reason":"the currency was wrong"}`)
	require.Equal(t, []string{"mug"}, out.GetProductIds())
	require.Empty(t, out.GetWaiting())
	require.Nil(t, out.GetUntil())
	command := receive(t, commands, 1)["mug"]
	require.Equal(t, uint64(2), command.GetApprove().GetVersion())
	require.Equal(t, "ann@shop", command.GetIssuer())
	require.Equal(t, "the currency was wrong", command.GetReason())

	out = controltest.Ask[controlv1.ApproveResponse](r, "Approve", `{"all":true,"reason":"yes"}`)
	require.Equal(t, []string{"cup", "mug"}, out.GetProductIds())
	require.Equal(t, "operator", receive(t, commands, 2)["cup"].GetIssuer())
}

// A later version is held than the one that the person has seen.
func TestApprove_LeavesWhatThePersonHasNotSeen(t *testing.T) {
	r := controltest.New(t)
	r.Start()
	commands := r.PushCommands()
	holdPrice(r, "mug", "amount_change")
	for _, seen := range []string{
		`"product_ids":["mug"],"seen":{"versions":{"mug":"1"}}`,
		`"all":true,"seen":{"up_to":"1"}`,
	} {
		out := controltest.Ask[controlv1.ApproveResponse](r, "Approve", `{`+seen+`,"reason":"yes"}`)
		require.Equal(t, []string{"mug"}, out.GetChanged(), seen)
		require.Empty(t, out.GetProductIds(), seen)
		rejected := controltest.Ask[controlv1.RejectResponse](r, "Reject", `{`+seen+`,"reason":"no"}`)
		require.Equal(t, []string{"mug"}, rejected.GetChanged(), seen)
		require.Empty(t, rejected.GetRejections(), seen)
	}
	out := controltest.Ask[controlv1.ApproveResponse](r, "Approve",
		`{"all":true,"seen":{"versions":{"mug":"2"},"up_to":"1"},"reason":"yes"}`)
	require.Equal(t, []string{"mug"}, out.GetProductIds())
	require.Equal(t, uint64(2), receive(t, commands, 1)["mug"].GetApprove().GetVersion())
}

func TestApprove_RuleLeavesOutWhatOthersHoldToo(t *testing.T) {
	r := controltest.New(t)
	r.Start()
	commands := r.PushCommands()
	holdPrice(r, "bowl", "check:margin")
	holdPrice(r, "cup", "amount_change", "check:margin")
	holdPrice(r, "mug", "amount_change")
	out := controltest.Ask[controlv1.ApproveResponse](r, "Approve", `{"rule":"amount_change","reason":"sale"}`)
	require.Equal(t, []string{"mug"}, out.GetProductIds())
	require.Equal(t, []string{"cup"}, out.GetHeldByOthers())
	require.Contains(t, receive(t, commands, 1), "mug")
	out = controltest.Ask[controlv1.ApproveResponse](r, "Approve", `{"rule":"check","reason":"sale"}`)
	require.Equal(t, []string{"bowl"}, out.GetProductIds())
	require.Equal(t, []string{"cup"}, out.GetHeldByOthers())
	receive(t, commands, 1)

	out = controltest.Ask[controlv1.ApproveResponse](r, "Approve",
		`{"rule":"amount_change","reason":"sale","actor":"ann","duration":"600s"}`)
	require.Equal(t, []string{"mug"}, out.GetProductIds())
	require.Equal(t, []string{"cup"}, out.GetHeldByOthers())
	require.WithinDuration(t, time.Now().Add(10*time.Minute), out.GetUntil().AsTime(), time.Minute)
	sent := receive(t, commands, 2)
	require.NotNil(t, sent["mug"].GetApprove())
	require.NotNil(t, sent["cup"].GetSync(), "push judges it again without the rule")
	record := &meshv1.Guard{}
	_, err := r.Stores.Guard("default").GetAt(t.Context(), record)
	require.NoError(t, err)
	require.True(t, guard.IsOpen(record, guard.AmountChange, time.Now()))
	require.False(t, guard.IsOpen(record, guard.Check("margin"), time.Now()))
}

func TestApprove_OpensAndEndsWindows(t *testing.T) {
	r := controltest.New(t)
	r.Start()
	commands := r.PushCommands()
	open := func(rule guard.Rule) bool {
		record := &meshv1.Guard{}
		_, err := r.Stores.Guard("default").GetAt(t.Context(), record)
		require.NoError(t, err)
		return guard.IsOpen(record, rule, time.Now())
	}
	out := controltest.Ask[controlv1.ApproveResponse](r, "Approve", `{"duration":"600s","reason":"a sale","actor":"ann"}`)
	require.NotNil(t, out.GetUntil(), "nothing is held, and the changes to come pass")
	require.True(t, open(guard.LostCurrency))
	status := controltest.Ask[controlv1.GetStatusResponse](r, "GetStatus", `{}`)
	require.NotNil(t, status.GetGuard().GetApprovedUntil())
	var kind, detail string
	require.NoError(t, localtest.Pool(t, r.Config.LedgerURL).QueryRow(t.Context(),
		`SELECT kind, detail FROM driftless_ledger.product_history WHERE product = '*'`).Scan(&kind, &detail))
	require.Equal(t, "approved", kind)
	require.Contains(t, detail, "every rule lets every change pass: until ")
	require.Contains(t, detail, ", by ann: a sale")

	holdPrice(r, "mug", "amount_change")
	out = controltest.Ask[controlv1.ApproveResponse](r, "Approve", `{"duration":"600s","reason":"a sale"}`)
	require.Equal(t, []string{"mug"}, out.GetProductIds())
	require.NotNil(t, receive(t, commands, 1)["mug"].GetSync())

	out = controltest.Ask[controlv1.ApproveResponse](r, "Approve", `{"duration":"0s","reason":"it is over"}`)
	require.Nil(t, out.GetUntil())
	require.Empty(t, out.GetProductIds())
	require.False(t, open(guard.LostCurrency))
	require.Empty(t, commands)
}

func TestApprove_TwoApprovers(t *testing.T) {
	r := controltest.New(t)
	r.Config.Approvers = 2
	r.Start()
	commands := r.PushCommands()
	holdPrice(r, "mug", "amount_change")
	out := controltest.Ask[controlv1.ApproveResponse](r, "Approve", `{"all":true,"reason":"yes","actor":"ann"}`)
	require.Equal(t, []string{"mug"}, out.GetWaiting())
	require.Empty(t, out.GetProductIds())
	receive(t, commands, 1)
	r.EditHold("mug", func(h *catalogv1.Hold) {
		h.Approvals = append(h.Approvals, &catalogv1.Approval{Actor: "ann", Reason: "yes", At: timestamppb.Now()})
	})
	r.Idle()
	out = controltest.Ask[controlv1.ApproveResponse](r, "Approve", `{"all":true,"reason":"yes","actor":"ann"}`)
	require.Equal(t, []string{"mug"}, out.GetWaiting(), "it is the same person")
	receive(t, commands, 1)
	out = controltest.Ask[controlv1.ApproveResponse](r, "Approve", `{"all":true,"reason":"yes","actor":"bob"}`)
	require.Equal(t, []string{"mug"}, out.GetProductIds())

	status, answer := r.Call("Approve", `{"rule":"amount_change","reason":"yes","duration":"60s"}`)
	require.Equal(t, 400, status)
	require.Contains(t, string(answer), "guard_approvers asks for 2 people")
}

func TestApprove_Pages(t *testing.T) {
	r := controltest.New(t)
	r.Start()
	commands := r.PushCommands()
	const all = 1003
	for i := range all {
		id := fmt.Sprintf("p%04d", i)
		r.Desire(id, "New", 2)
		_, err := r.Stores.Observed().Update(t.Context(), "default", id, func(o *catalogv1.Observed) error {
			o.Product = &catalogv1.Product{Id: id, Name: "Old", Active: new(true)}
			o.Hold = &catalogv1.Hold{Version: 2, Findings: []*catalogv1.Finding{{Rule: "check:names"}}}
			return nil
		})
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool {
		return controltest.Ask[controlv1.GetStatusResponse](r, "GetStatus", `{}`).GetHeld() == all
	}, 3*controltest.Patience, 50*time.Millisecond)
	first := controltest.Ask[controlv1.ApproveResponse](r, "Approve", `{"all":true,"reason":"yes"}`)
	require.True(t, first.GetTruncated())
	require.Len(t, first.GetProductIds(), 1000)
	require.Equal(t, "p0999", first.GetNext())
	rest := controltest.Ask[controlv1.ApproveResponse](r, "Approve", `{"all":true,"reason":"yes","after":"p0999"}`)
	require.False(t, rest.GetTruncated())
	require.Equal(t, []string{"p1000", "p1001", "p1002"}, rest.GetProductIds())
	require.Len(t, receive(t, commands, all), all)
}

func TestApprove_RefusesWhatIsNotHeld(t *testing.T) {
	r := controltest.New(t)
	r.Start()
	commands := r.PushCommands()
	refused := func(request, want string) {
		t.Helper()
		for _, method := range []string{"Approve", "Reject"} {
			status, answer := r.Call(method, request)
			require.Contains(t, []int{400, 404}, status, string(answer))
			require.Contains(t, string(answer), want, method)
		}
	}
	refused(`{"all":true,"reason":"yes"}`, "the guard holds nothing")
	refused(`{"rule":"zero_amount","reason":"yes"}`, "the rule zero_amount holds nothing")
	r.Desire("cup", "Cup", 1)
	r.Observe("cup", "Cup", 1)
	r.Desire("jug", "Jug", 2)
	r.Observe("jug", "Old", 1)
	r.Observe("stray", "Stray", 0)
	holdPrice(r, "mug", "amount_change")
	r.Eventually("cup", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	r.Eventually("stray", controlv1.ProductState_PRODUCT_STATE_ORPHAN)
	refused(`{"product_ids":["mug","cup"],"reason":"yes"}`, "product cup is not held: it is in sync")
	refused(`{"product_ids":["stray"],"reason":"yes"}`, "product stray is not held: only Stripe has it")
	refused(`{"product_ids":["nobody"],"reason":"yes"}`, "product nobody is not held: neither side has it")
	refused(`{"reason":"yes"}`, "nothing is selected")
	refused(`{"all":true}`, "reason: must not be empty")
	refused(`{"all":true,"reason":"  "}`, "reason: must not be empty")
	refused(`{"all":true,"rule":"zero_amount","reason":"yes"}`, "only one of them can be given")
	refused(`{"rule":"no_such","reason":"yes"}`, `there is no rule \"no_such\": the rules are amount_change`)
	r.EditHold("mug", func(h *catalogv1.Hold) { h.Approved = true })
	r.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_PENDING)
	refused(`{"product_ids":["mug"],"reason":"yes"}`, "its change is approved, and push is making it")
	status, answer := r.Call("Approve", `{"product_ids":["mug"],"reason":"yes","duration":"60s"}`)
	require.Equal(t, 400, status)
	require.Contains(t, string(answer), "not with products")
	status, answer = r.Call("Approve", `{"duration":"100000s","reason":"yes"}`)
	require.Equal(t, 400, status, string(answer))
	require.Empty(t, commands, "nothing was changed")
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
