package control_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/controltest"
)

// planned returns the products of matches, each with Stripe's and its doubts.
func planned(plan *controlv1.PlanAdoptionResponse) []string {
	out := []string{}
	for _, m := range plan.GetMatches() {
		text := m.GetProductId() + "=" + m.GetStripeId()
		for _, d := range m.GetDoubts() {
			text += " " + d.GetDoubt()
		}
		out = append(out, text)
	}
	return out
}

// applyRequest returns a request to apply matches as they are.
func applyRequest(t *testing.T, batch string, dryRun bool, matches ...*controlv1.AdoptionMatch) string {
	t.Helper()
	request := &controlv1.ApplyAdoptionRequest{Batch: batch, DryRun: dryRun, Actor: "ann", Reason: "checked"}
	for _, m := range matches {
		e := &controlv1.AdoptionEntry{
			ProductId: m.GetProductId(), StripeId: m.GetStripeId(), Why: m.GetWhy(), Prices: m.GetPrices(),
		}
		for _, d := range m.GetDoubts() {
			e.Doubts = append(e.Doubts, strings.TrimSpace(d.GetDoubt()+" "+d.GetPriceId()))
		}
		request.Entries = append(request.Entries, e)
	}
	body, err := protojson.Marshal(request)
	require.NoError(t, err)
	return string(body)
}

func TestApplyAdoption_RefusesWhatHasChangedSinceThePlan(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	r.Start()
	plan := func(body string) *controlv1.PlanAdoptionResponse {
		return controltest.Ask[controlv1.PlanAdoptionResponse](r, "PlanAdoption", body)
	}
	apply := func(body string) *controlv1.ApplyAdoptionResponse {
		return controltest.Ask[controlv1.ApplyAdoptionResponse](r, "ApplyAdoption", body)
	}
	scan := func(edit func(*meshv1.ScanReport)) {
		report := &meshv1.ScanReport{Id: "s1", StartedAt: timestamppb.Now()}
		edit(report)
		require.NoError(t, r.Stores.Record(topology.KeyScan, "default").Put(t.Context(), report))
	}
	require.Contains(t, plan(`{}`).GetUnknown(), "never scanned")
	scan(func(*meshv1.ScanReport) {})
	require.Contains(t, plan(`{}`).GetUnknown(), "runs")
	scan(func(s *meshv1.ScanReport) { s.Error = "no rights" })
	require.Contains(t, plan(`{}`).GetUnknown(), "the latest scan failed: no rights", "a failed scan does not finish")

	r.Observe("mug", "Mug", 0)
	r.Observe("prod_cup", "Cup", 0)
	for i, id := range []string{"cup", "jug", "mug"} {
		r.DesireProduct(&catalogv1.Product{Id: id, Name: strings.ToUpper(id)}, uint64(i+1))
		r.Eventually(id, controlv1.ProductState_PRODUCT_STATE_PENDING)
	}
	r.Eventually("prod_cup", controlv1.ProductState_PRODUCT_STATE_ORPHAN)
	r.Idle()
	scan(func(s *meshv1.ScanReport) { s.FinishedAt = timestamppb.Now() })
	require.Contains(t, plan(`{}`).GetUnknown(), "what the catalog has")
	r.Report(func(report *meshv1.CaptureReport) { report.CapturedUpTo = nil })
	require.Contains(t, plan(`{}`).GetUnknown(), "ingestion has not read all of it yet")
	r.Report(nil)
	all := plan(`{}`)
	require.Empty(t, all.GetUnknown())
	require.Equal(t, []string{"cup=prod_cup name_only", "mug=mug"}, planned(all))
	require.EqualValues(t, 3, all.GetCatalogProducts())
	require.EqualValues(t, 2, all.GetStripeProducts())
	require.EqualValues(t, 1, all.GetCertain())
	require.EqualValues(t, 1, all.GetDoubtful())
	require.Equal(t, "s1", all.GetScan().GetId())

	first := plan(`{"limit": 1}`)
	require.Equal(t, "cup", first.GetNext())
	require.Equal(t, []string{"mug=mug"}, planned(plan(`{"limit": 1, "after": "cup"}`)))
	require.Equal(t, []string{"mug=mug"}, planned(plan(`{"certain": true}`)))
	require.Equal(t, []string{"cup=prod_cup name_only"}, planned(plan(`{"doubts": ["name_only", "marked"]}`)))
	require.Equal(t, []string{"cup=prod_cup name_only"}, planned(plan(`{"search": "PROD_"}`)))
	status, answer := r.Call("PlanAdoption", `{"doubts": ["nosuch"]}`)
	require.Equal(t, 400, status, string(answer))

	// A dry run orders nothing. An id that is there twice is refused.
	dry := apply(applyRequest(t, "", true, all.GetMatches()...))
	require.Zero(t, dry.GetStale())
	require.Empty(t, dry.GetOrders())
	twice := apply(applyRequest(t, "", false, all.GetMatches()[0], all.GetMatches()[0]))
	require.EqualValues(t, 1, twice.GetStale())
	require.Empty(t, twice.GetOrders())

	// The cup is renamed in Stripe after the plan: nothing is ordered, and the entry says why.
	r.Observe("prod_cup", "Tumbler", 0)
	require.Eventually(t, func() bool {
		stale := apply(applyRequest(t, "", true, all.GetMatches()...))
		return stale.GetStale() == 1 &&
			stale.GetEntries()[0].GetStale() == "it no longer matches prod_cup by name"
	}, controltest.Patience, 10*time.Millisecond)
	require.Empty(t, apply(applyRequest(t, "", false, all.GetMatches()...)).GetOrders())

	// The ids of the orders follow from the batch, so that a repeated request orders nothing twice.
	commands := r.PushCommands()
	for range 2 {
		done := apply(applyRequest(t, "batch", false, all.GetMatches()[1]))
		require.Zero(t, done.GetStale())
		require.Equal(t, "batch-0", done.GetOrders()[0].GetId())
	}
	select {
	case c := <-commands:
		require.Equal(t, "batch-0", c.GetId())
		require.Equal(t, "mug", c.GetAdopt().GetStripeId())
		require.Equal(t, "ann", c.GetIssuer())
	case <-time.After(controltest.Patience):
		t.Fatal("push got no command")
	}
	require.Empty(t, commands)
	require.Equal(t, []string{"ordered", "catalog_change"}, r.Kinds("mug"))
	require.Contains(t, fmt.Sprint(controltest.Ask[controlv1.ListHistoryResponse](r, "ListHistory",
		`{"product_id":"mug"}`).GetEntries()), "checked")
}
