package reconciliation_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/controltest"
)

func TestWriteBack_FollowsStripeEditAtOnce(t *testing.T) {
	r := controltest.New(t)
	r.SetPolicy(map[string]catalog.Rule{"name": {Owner: catalog.OwnerStripe}})
	writeBacks := r.WriteBacks()
	r.Start()
	r.Desire("mug", "Mug", 10)
	r.Observe("mug", "Mug", 10)
	r.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)

	event := `{"id":"evt_1","type":"product.updated","request":{"id":"req_1","idempotency_key":null},"data":{"object":{"id":"mug","name":"By hand"},"previous_attributes":{"name":"Mug","updated":1}}}`
	require.NoError(t, r.Mesh.Publish(t.Context(), topology.StripeSubject("default", "mug"), &meshv1.StripeChange{
		Account:    "default",
		ProductId:  "mug",
		EventId:    "evt_1",
		Type:       "product.updated",
		ObjectId:   "mug",
		ReceivedAt: timestamppb.Now(),
		Event:      []byte(event),
	}))
	_, err := r.Stores.Observed().Update(t.Context(), "default", "mug", func(o *catalogv1.Observed) error {
		o.Product.Name = "By hand"
		catalog.RememberEvent(o, "evt_1")
		return nil
	})
	require.NoError(t, err)
	command := <-writeBacks
	require.Equal(t, "By hand", command.GetProduct().GetName())
	require.Equal(t, []string{"name"}, command.GetFields())
	require.EqualValues(t, 10, command.GetVersion())
	require.Eventually(t, func() bool { return r.Drift("mug")[0].GetCausedBy() == "dashboard" }, controltest.Patience,
		10*time.Millisecond)
	require.Equal(t, "evt_1", r.Drift("mug")[0].GetEventId())
	require.Len(t, controltest.Ask[controlv1.PlanResponse](r, "Plan", `{}`).GetProducts()[0].GetWriteBacks(), 1)

	r.Desire("mug", "By hand", 11)
	d := r.EventuallyDrift("mug", "written_back")
	require.Equal(t, "Mug", d.GetDifference().GetCatalog())
	require.Equal(t, "By hand", d.GetDifference().GetStripe())
	require.Eventually(t, func() bool {
		seen := map[string]*controlv1.HistoryEntry{}
		for _, e := range controltest.Ask[controlv1.ListHistoryResponse](r, "ListHistory",
			`{"product_id":"mug"}`).GetEntries() {
			seen[e.GetKind()] = e
		}
		return seen["written_back"] != nil && seen["drifted"].GetDifferences()[0].GetField() == "name" &&
			seen["stripe_event"].GetChanges()[0].GetNew() == "By hand" &&
			seen["stripe_event"].GetStripeRequestId() == "req_1" &&
			seen["catalog_change"].GetChanges() != nil
	}, controltest.Patience, 20*time.Millisecond)
}

func TestImport_ReadsTheProductWithItsPricesFirst(t *testing.T) {
	r := controltest.New(t)
	r.SetPolicy(nil)
	r.Config.GracePeriod = 100 * time.Millisecond
	r.Config.Extras = reconciliation.ExtrasImport
	writeBacks, reads := r.WriteBacks(), r.ProductReads()
	r.Start()
	r.Observe("stray", "Stray", 0)
	require.Equal(t, "stray", <-reads)
	require.Equal(t, "extra", r.EventuallyDrift("stray", "repairing").GetDifference().GetKind())
	require.Empty(t, writeBacks, "its prices are not known")
	// Stripe's list of prices lags behind the product.
	r.ObserveWhole("stray", 0, "price_2", "price_1")
	require.Equal(t, "stray", <-reads, "its default price is not among them")
	require.Empty(t, writeBacks)
	r.EventPrice("stray", "price_2")
	r.ObserveWhole("stray", 0, "price_2", "price_1", "price_2")
	command := <-writeBacks
	require.True(t, command.GetImport())
	require.Equal(t, "Stray", command.GetProduct().GetName())
	require.Equal(t, "price_2", command.GetProduct().GetDefaultPrice())
	require.Len(t, command.GetProduct().GetPrices(), 2)
}

func TestImport_IncludesLaterPrices(t *testing.T) {
	for extras, want := range map[reconciliation.Extras]string{
		reconciliation.ExtrasImport: "write-back",
		reconciliation.ExtrasReport: "report",
	} {
		t.Run(string(extras), func(t *testing.T) {
			r := controltest.New(t)
			r.SetPolicy(nil)
			r.Config.GracePeriod = 100 * time.Millisecond
			r.Config.Extras = extras
			writeBacks, reads := r.WriteBacks(), r.ProductReads()
			r.Start()
			desired := &catalogv1.Product{
				Id:           "stray",
				Name:         "Stray",
				DefaultPrice: "price_1",
				Prices:       []*catalogv1.Price{{Id: "price_1", Currency: "eur", UnitAmount: "1400"}},
			}
			require.NoError(t,
				r.Mesh.Publish(t.Context(), topology.CatalogSubject("default", topology.Live, "stray"),
					&catalogv1.ProductChange{
						Account:   "default",
						ProductId: "stray",
						Version:   10,
						Operation: catalogv1.Operation_OPERATION_UPSERT,
						Product:   desired,
					}, mesh.WithVersion(10)))
			held := func(prices ...string) {
				r.ObserveWhole("stray", 10, "price_1", prices...)
				_, err := r.Stores.Observed().Update(t.Context(), "default", "stray",
					func(o *catalogv1.Observed) error {
						catalog.FindPrice(o, "price_1").Price.Id, catalog.FindPrice(o,
							"price_1").Price.LookupKey = "price_1", "price_1"
						catalog.FindPrice(o, "price_1").Price.Metadata = map[string]string{
							catalog.PriceMarker: "price_1",
						}
						return nil
					})
				require.NoError(t, err)
			}
			held("price_1")
			r.Eventually("stray", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
			r.EventPrice("stray", "price_2")
			state := map[reconciliation.Extras]string{
				reconciliation.ExtrasImport: "repairing",
				reconciliation.ExtrasReport: "found",
			}[extras]
			found := r.EventuallyDrift("stray", state)
			require.Equal(t, "prices.price_2", found.GetDifference().GetField())
			require.Equal(t, want, found.GetDifference().GetAction())
			if extras == reconciliation.ExtrasReport {
				require.Empty(t, reads)
				return
			}
			require.Equal(t, "stray", <-reads)
			require.Empty(t, writeBacks)
			held("price_1", "price_2")
			command := <-writeBacks
			require.False(t, command.GetImport())
			require.Equal(t, []string{"prices.price_2"}, command.GetFields())
			require.Equal(t, "price_2", command.GetProduct().GetPrices()[1].GetId())
		})
	}
}
