package control_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/controltest"
)

func TestReject_ShowsWhatTheCatalogWouldGetBack(t *testing.T) {
	r := controltest.New(t)
	r.Start()
	holdPrice(r, "mug", "amount_change")
	out := controltest.Ask[controlv1.RejectResponse](r, "Reject",
		`{"product_ids":["mug"],"actor":"ann@shop","reason":"cents and euros"}`).GetRejections()
	require.Len(t, out, 1)
	require.Len(t, out[0].GetDifferences(), 1)
	d := out[0].GetDifferences()[0]
	require.Equal(t, "prices.mug-eur.unit_amount", d.GetField())
	require.Equal(t, []string{"14", "1400", "0.14 EUR", "14.00 EUR"},
		[]string{d.GetCatalog(), d.GetStripe(), d.GetCatalogWords(), d.GetStripeWords()})
	require.False(t, out[0].GetWrittenBack())
	require.Equal(t, "prices.mug-eur.unit_amount cannot be written back: change the catalog", out[0].GetBlocker())
	history := controltest.Ask[controlv1.ListHistoryResponse](r, "ListHistory", `{"product_id":"mug"}`).GetEntries()
	i := slices.IndexFunc(history, func(e *controlv1.HistoryEntry) bool { return e.GetKind() == "rejected" })
	require.GreaterOrEqual(t, i, 0)
	require.Equal(t, uint64(2), history[i].GetVersion())
	require.Equal(t, "the change shall not be made, by ann@shop: cents and euros", history[i].GetDetail())
	require.Len(t, history[i].GetDifferences(), 1)
	require.Equal(t, controlv1.ProductState_PRODUCT_STATE_HELD, r.State("mug"), "it stays held")
}

func TestReject_WritesBackWhatTheCatalogCanTake(t *testing.T) {
	r := controltest.New(t)
	r.Config.CanWriteBack = func(field string) error {
		if field == "prices.nickname" {
			return errors.New("set catalog.write_back.price")
		}
		return nil
	}
	r.Start()
	writeBacks := r.WriteBacks()
	desired := priced("mug", "1400")
	desired.Description, desired.DefaultPrice = "New", ""
	r.DesireProduct(desired, 2)
	r.Hold(priced("mug", "1400"), 2, "check:texts")
	out := controltest.Ask[controlv1.RejectResponse](r, "Reject", `{"rule":"check","reason":"no"}`).GetRejections()
	require.Len(t, out, 1)
	require.True(t, out[0].GetWrittenBack(), out[0].GetBlocker())
	select {
	case w := <-writeBacks:
		require.Equal(t, []string{"description"}, w.GetFields())
		require.Equal(t, uint64(2), w.GetVersion())
		require.Empty(t, w.GetProduct().GetDescription())
		require.Equal(t, "1400", w.GetProduct().GetPrices()[0].GetUnitAmount())
	case <-time.After(controltest.Patience):
		require.Fail(t, "no write-back")
	}

	desired = priced("cup", "1400")
	desired.Prices[0].Nickname = "new"
	r.DesireProduct(desired, 2)
	r.Hold(priced("cup", "1400"), 2, "check:texts")
	out = controltest.Ask[controlv1.RejectResponse](r, "Reject",
		`{"product_ids":["cup"],"reason":"no"}`).GetRejections()
	require.Equal(t, "set catalog.write_back.price", out[0].GetBlocker())
	require.Empty(t, writeBacks)
}

// A mapping's statements may write amounts, although Stripe never changes one.
func TestReject_WritesBackAmountsOfMappedTables(t *testing.T) {
	r := controltest.New(t)
	r.Config.Mapped = true
	// The mapping has amounts as unit_amount_decimal, which is another form of the same value.
	r.Config.CanWriteBack = func(field string) error {
		switch field {
		case "prices.unit_amount":
			return errors.New("catalog.write_back.price does not use @unit_amount")
		case "description":
			return errors.New("set catalog.write_back.product")
		default:
			return nil
		}
	}
	r.Start()
	writeBacks := r.WriteBacks()
	holdPrice(r, "mug", "amount_change")
	answer := controltest.Ask[controlv1.RejectResponse](r, "Reject", `{"product_ids":["mug"],"reason":"no"}`)
	require.True(t, answer.GetMapped())
	require.True(t, answer.GetRejections()[0].GetWrittenBack(), answer.GetRejections()[0].GetBlocker())
	select {
	case w := <-writeBacks:
		require.Equal(t, []string{"prices.mug-eur.unit_amount"}, w.GetFields())
		require.Equal(t, "1400", w.GetProduct().GetPrices()[0].GetUnitAmount())
	case <-time.After(controltest.Patience):
		require.Fail(t, "no write-back")
	}

	// A part of the values would leave a state that nobody wanted.
	desired := priced("cup", "14")
	desired.Description = "New"
	r.DesireProduct(desired, 2)
	r.Hold(priced("cup", "1400"), 2, "amount_change")
	rejection := controltest.Ask[controlv1.RejectResponse](r, "Reject",
		`{"product_ids":["cup"],"reason":"no"}`).GetRejections()[0]
	require.Equal(t, "set catalog.write_back.product", rejection.GetBlocker())
	require.Empty(t, writeBacks)
}

func TestStatusAndPlan_ShowHeldProducts(t *testing.T) {
	r := controltest.New(t)
	r.Start()
	holdPrice(r, "cup", "amount_change", "check:margin")
	holdPrice(r, "mug", "amount_change")
	_, err := r.Stores.Guard("default").CompareAndPut(t.Context(), &meshv1.Guard{
		Counts: map[string]*meshv1.GuardCount{
			"archived_products": {
				Since: timestamppb.Now(), Changed: 10, Recent: []string{"x"}, Held: []string{"poster"}, Total: 100,
				Allowed: 12, HeldSince: timestamppb.Now(),
			},
		},
	}, 0)
	require.NoError(t, err)
	status := controltest.Ask[controlv1.GetStatusResponse](r, "GetStatus", `{}`)
	require.Equal(t, []uint64{2, 0, 0}, []uint64{status.GetHeld(), status.GetPending(), status.GetDrifted()})
	require.Len(t, status.GetHeldBy(), 2)
	require.Equal(t, []string{"amount_change", "check:margin"},
		[]string{status.GetHeldBy()[0].GetRule(), status.GetHeldBy()[1].GetRule()})
	require.Equal(t, []uint64{2, 1}, []uint64{status.GetHeldBy()[0].GetCount(), status.GetHeldBy()[1].GetCount()})
	require.WithinDuration(t, time.Now(), status.GetHeldBy()[0].GetSince().AsTime(), time.Minute)
	g := status.GetGuard()
	require.Equal(t, []uint64{10, 100, 12}, []uint64{g.GetArchived(), g.GetProducts(), g.GetAllowed()},
		"programs that know the fields of earlier versions still see them")
	require.Equal(t, []string{"poster"}, g.GetHeld())
	require.Empty(t, g.GetCounts()["archived_products"].GetRecent())
	status = controltest.Ask[controlv1.GetStatusResponse](r, "GetStatus", `{"counted_ids":true}`)
	require.Equal(t, []string{"x"}, status.GetGuard().GetCounts()["archived_products"].GetRecent())

	plan := controltest.Ask[controlv1.PlanResponse](r, "Plan", `{}`).GetProducts()
	require.Len(t, plan, 2)
	for _, p := range plan {
		require.True(t, p.GetHeld())
		require.Equal(t, controlv1.ProductState_PRODUCT_STATE_HELD, p.GetState())
		require.Equal(t, "amount_change", p.GetHold().GetFindings()[0].GetRule())
		require.NotEmpty(t, p.GetChanges(), "what an approval would do")
	}
	r.EditHold("mug", func(h *catalogv1.Hold) { h.Approved = true })
	r.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_PENDING)
	plan = controltest.Ask[controlv1.PlanResponse](r, "Plan", `{"product_ids":["mug"]}`).GetProducts()
	require.False(t, plan[0].GetHeld())
	require.Nil(t, plan[0].GetHold())
}

func TestHistory_HasOutcomesOfTheGuard(t *testing.T) {
	r := controltest.New(t)
	r.Start()
	for i, kind := range []meshv1.OutcomeKind{
		meshv1.OutcomeKind_OUTCOME_KIND_HELD, meshv1.OutcomeKind_OUTCOME_KIND_APPROVED,
		meshv1.OutcomeKind_OUTCOME_KIND_RELEASED,
	} {
		r.PublishOutcomeOf("mug", kind, time.Now().Add(time.Duration(i)*time.Second), "by ann: yes, 1 of 2")
	}
	require.Eventually(t, func() bool {
		return slices.Equal(r.Kinds("mug"), []string{"released", "approved", "held"})
	}, controltest.Patience, 10*time.Millisecond)
}
