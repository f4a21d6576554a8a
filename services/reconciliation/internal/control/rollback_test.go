package control_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/internal/guard"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/controltest"
)

// pastRig is a started rig in which the ledger knows past states.
type pastRig struct{ *controltest.Rig }

func newPastRig(t *testing.T) pastRig {
	t.Helper()
	r := pastRig{controltest.New(t)}
	r.Config.CanInsert = func(object string) error {
		if object == "price" {
			return errors.New("a price cannot be inserted")
		}
		return nil
	}
	r.Config.CanWriteBack = func(field string) error {
		if strings.HasPrefix(field, "prices.unit_amount") {
			return errors.New(field + " cannot be written back")
		}
		return nil
	}
	r.Config.Guard = guard.Config{AmountChange: 50}
	r.Start()
	return r
}

// know lets an ingestion report that everything is captured, and waits until the ledger knows past states.
func (r pastRig) know() {
	r.T.Helper()
	require.Eventually(r.T, func() bool {
		r.Report(nil)
		status, _ := r.Call("ListStates", fmt.Sprintf(`{"at":%q,"side":1}`, r.now()))
		return status == http.StatusOK
	}, controltest.Patience, 50*time.Millisecond)
}

func (r pastRig) now() string { return r.Now().Format(time.RFC3339Nano) }

// want publishes a state of the catalog and waits until the ledger has it.
func (r pastRig) want(version uint64, product *catalogv1.Product, unmanaged ...string) {
	r.T.Helper()
	id := "mug"
	change := &catalogv1.ProductChange{
		Account:         "default",
		ProductId:       id,
		Version:         version,
		Operation:       catalogv1.Operation_OPERATION_UPSERT,
		Product:         product,
		UnmanagedFields: unmanaged,
		CommittedAt:     timestamppb.New(r.Now()),
	}
	if product == nil {
		change.Operation = catalogv1.Operation_OPERATION_DELETE
	}
	require.NoError(r.T, r.Mesh.Publish(r.T.Context(), topology.CatalogSubject("default", topology.Live, id), change,
		mesh.WithVersion(version)))
	require.Eventually(r.T, func() bool {
		products := controltest.Ask[controlv1.ListProductsResponse](r.Rig, "ListProducts",
			`{"product_ids":["mug"]}`).GetProducts()
		return len(products) == 1 && products[0].GetDesired().GetVersion() == version
	}, controltest.Patience, 10*time.Millisecond)
}

func mug(name, amount string) *catalogv1.Product {
	return &catalogv1.Product{
		Id:     "mug",
		Name:   name,
		Prices: []*catalogv1.Price{{Id: "mug-eur", Currency: "eur", UnitAmount: amount}},
	}
}

func (r pastRig) rollback(body string) *controlv1.RollbackResponse {
	r.T.Helper()
	return controltest.Ask[controlv1.RollbackResponse](r.Rig, "Rollback", body)
}

func (r pastRig) refused(method, body, want string) {
	r.T.Helper()
	status, answer := r.Call(method, body)
	require.NotEqual(r.T, http.StatusOK, status, string(answer))
	require.Contains(r.T, string(answer), want)
}

func TestRollback_OrdersAWriteBackOrSaysWhyNot(t *testing.T) {
	r := newPastRig(t)
	writeBacks := r.WriteBacks()
	r.refused("ListStates", fmt.Sprintf(`{"at":%q,"side":1}`, r.now()), "no past state is known yet")
	r.refused("ListStates", `{"side":1}`, "at: must be given")
	r.refused("DiffStates", fmt.Sprintf(`{"from":%q}`, r.now()), "side")
	r.refused("Rollback", `{"product_id":"mug","version":"1"}`, "the catalog never had product mug")

	r.want(10, mug("Mug", "1400"))
	r.know()
	r.refused("Rollback", `{"product_id":"mug"}`, "set version or at")
	before := r.now()
	r.refused("DiffStates", fmt.Sprintf(`{"from":%q,"to":%q,"side":1}`, r.now(), before), "exchange them")

	// A field that the mapping did not provide then keeps its value. An unmapped one is refused.
	r.want(20, mug("Mug", "1400"), "description")
	described := mug("Mug XL", "1400")
	described.Description = "Large"
	r.want(30, described)
	out := r.rollback(`{"product_id":"mug","version":"20","dry_run":true}`)
	require.Equal(t, []string{"description"}, out.GetKeptFields())
	require.Equal(t, []string{"Mug", "Large"}, []string{out.GetProduct().GetName(), out.GetProduct().GetDescription()})
	require.False(t, out.GetOrdered())
	out = r.rollback(`{"product_id":"mug","version":"20","actor":"ann@shop","reason":"wrong","expected_version":"30"}`)
	require.True(t, out.GetOrdered())
	require.Equal(t, uint64(30), out.GetFromVersion())
	select {
	case w := <-writeBacks:
		require.Equal(t, []string{"name"}, w.GetFields())
		require.Equal(t, uint64(30), w.GetVersion())
		require.False(t, w.GetImport())
	case <-time.After(controltest.Patience):
		require.Fail(t, "no write-back")
	}
	history := controltest.Ask[controlv1.ListHistoryResponse](r.Rig, "ListHistory", `{"product_id":"mug"}`).GetEntries()
	i := slices.IndexFunc(history, func(e *controlv1.HistoryEntry) bool { return e.GetKind() == "rollback" })
	require.GreaterOrEqual(t, i, 0)
	require.Equal(t, "the catalog is to get the state of version 20 back, by ann@shop: wrong", history[i].GetDetail())
	r.refused("Rollback", `{"product_id":"mug","version":"20","expected_version":"29"}`, "changed meanwhile")
	r.want(40, mug("Mug XL", "1400"), "description")
	r.refused("Rollback", `{"product_id":"mug","version":"30"}`, "the mapping does not provide description")

	// The statements of the mapping decide about the rest.
	r.want(50, mug("Mug XL", "1500"))
	r.refused("Rollback", `{"product_id":"mug","version":"40"}`, "prices.unit_amount cannot be written back")
	r.want(60, &catalogv1.Product{Id: "mug", Name: "Mug XL"})
	r.refused("Rollback", `{"product_id":"mug","version":"50"}`, "a price cannot be inserted")
	r.want(70, nil)
	r.refused("Rollback", `{"product_id":"mug","version":"50"}`, "a price cannot be inserted")
	out = r.rollback(`{"product_id":"mug","version":"60"}`)
	require.True(t, out.GetOrdered())
	require.True(t, (<-writeBacks).GetImport())
	r.refused("Rollback", `{"product_id":"mug","version":"70"}`, "did not have product mug then")
	r.refused("Rollback", `{"product_id":"mug","version":"65"}`, "has no version 65")
	r.refused("Rollback", `{"product_id":"mug","version":"71"}`, "no version 71 yet")
	r.refused("Rollback", `{"product_id":"mug","version":"9"}`, "not kept")

	diff := controltest.Ask[controlv1.DiffStatesResponse](r.Rig, "DiffStates",
		fmt.Sprintf(`{"from":%q,"side":"SIDE_CATALOG"}`, before))
	require.Len(t, diff.GetProducts(), 1)
	require.Equal(t, "removed", diff.GetProducts()[0].GetVerb())
	require.Equal(t, uint64(1), diff.GetCompared())

	// Ingestion refused what the tables hold now, so nothing rests on what CATALOG has.
	r.want(80, mug("Mug", "1400"))
	r.want(90, mug("Cup", "1400"))
	r.AddDeadLetter(topology.Ingestion, "mug", topology.ReasonInvalidProduct, 95)
	r.refused("Rollback", `{"product_id":"mug","version":"80"}`, "ingestion refused the latest change of product mug")
}
