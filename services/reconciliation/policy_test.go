package reconciliation_test

import (
	"context"
	"fmt"
	"net/http"
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
)

func (r *rig) setPolicy(rules map[string]catalog.Rule) {
	r.t.Helper()
	var err error
	r.cfg.Policy, err = catalog.NewPolicy(catalog.Repair, rules)
	require.NoError(r.t, err)
	// The grace period is an hour, so drift that is found at once does not depend on it.
	r.cfg.GracePeriod = time.Hour
}

// writeBacks are the write-backs that ingestion is commanded to make.
func (r *rig) writeBacks() chan *meshv1.WriteBack {
	r.t.Helper()
	out := make(chan *meshv1.WriteBack, 10)
	ctx, cancel := context.WithCancel(r.t.Context())
	done := make(chan error, 1)
	go func() {
		done <- mesh.Consume(ctx, r.mesh, mesh.Worker{Service: topology.Ingestion, Consumer: topology.IngestionCommand},
			func(_ context.Context, msg mesh.Message[*meshv1.Command]) mesh.Verdict {
				if w := msg.Body.GetWriteBack(); w != nil {
					out <- w
				}
				return mesh.Ack()
			})
	}()
	r.t.Cleanup(func() { cancel(); <-done })
	return out
}

func (r *rig) drift(product string) []*controlv1.Drift {
	r.t.Helper()
	return ask[controlv1.ListDriftResponse](r, "ListDrift",
		fmt.Sprintf(`{"product_ids":[%q],"settled":true}`, product)).GetDrift()
}

func (r *rig) eventuallyDrift(product, state string) *controlv1.Drift {
	r.t.Helper()
	require.Eventually(r.t, func() bool {
		drift := r.drift(product)
		return len(drift) > 0 && drift[0].GetState() == state
	}, patience, 10*time.Millisecond, state)
	return r.drift(product)[0]
}

func TestWriteBack_FollowsStripeEditAtOnce(t *testing.T) {
	r := newRig(t)
	r.setPolicy(map[string]catalog.Rule{"name": {Owner: catalog.OwnerStripe}})
	writeBacks := r.writeBacks()
	r.start()
	r.desire("mug", "Mug", 10)
	r.observe("mug", "Mug", 10)
	r.eventually("mug", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)

	event := `{"id":"evt_1","type":"product.updated","request":{"id":"req_1","idempotency_key":null},"data":{"object":{"id":"mug","name":"By hand"},"previous_attributes":{"name":"Mug","updated":1}}}`
	require.NoError(t, r.mesh.Publish(t.Context(), topology.StripeSubject("default", "mug"), &meshv1.StripeChange{
		Account:    "default",
		ProductId:  "mug",
		EventId:    "evt_1",
		Type:       "product.updated",
		ObjectId:   "mug",
		ReceivedAt: timestamppb.Now(),
		Event:      []byte(event),
	}))
	_, err := r.stores.Observed().Update(t.Context(), "default", "mug", func(o *catalogv1.Observed) error {
		o.Product.Name = "By hand"
		catalog.RememberEvent(o, "evt_1")
		return nil
	})
	require.NoError(t, err)
	command := <-writeBacks
	require.Equal(t, "By hand", command.GetProduct().GetName())
	require.Equal(t, []string{"name"}, command.GetFields())
	require.EqualValues(t, 10, command.GetVersion())
	require.Eventually(t, func() bool { return r.drift("mug")[0].GetCausedBy() == "dashboard" }, patience,
		10*time.Millisecond)
	require.Equal(t, "evt_1", r.drift("mug")[0].GetEventId())
	require.Len(t, ask[controlv1.PlanResponse](r, "Plan", `{}`).GetProducts()[0].GetWriteBacks(), 1)

	r.desire("mug", "By hand", 11)
	d := r.eventuallyDrift("mug", "written_back")
	require.Equal(t, "Mug", d.GetDifference().GetCatalog())
	require.Equal(t, "By hand", d.GetDifference().GetStripe())
	require.Eventually(t, func() bool {
		seen := map[string]*controlv1.HistoryEntry{}
		for _, e := range ask[controlv1.ListHistoryResponse](r, "ListHistory", `{"product_id":"mug"}`).GetEntries() {
			seen[e.GetKind()] = e
		}
		return seen["written_back"] != nil && seen["drifted"].GetDifferences()[0].GetField() == "name" &&
			seen["stripe_event"].GetChanges()[0].GetNew() == "By hand" &&
			seen["stripe_event"].GetStripeRequestId() == "req_1" &&
			seen["catalog_change"].GetChanges() != nil
	}, patience, 20*time.Millisecond)
}

func TestResolveDrift_AppliesDecision(t *testing.T) {
	r := newRig(t)
	r.setPolicy(map[string]catalog.Rule{"name": {Action: catalog.Report}})
	writeBacks := r.writeBacks()
	commands := r.commands("mug")
	r.start()
	r.desire("mug", "Mug", 10)
	r.observe("mug", "Mug", 10)
	r.eventually("mug", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	r.observe("mug", "By hand", 10)
	require.Equal(t, "report", r.eventuallyDrift("mug", "found").GetDifference().GetAction())
	reported := ask[controlv1.PlanResponse](r, "Plan", `{}`).GetProducts()
	require.Len(t, reported, 1)
	require.Empty(t, reported[0].GetSteps(), "nothing would be done")
	require.Equal(t, "By hand", reported[0].GetDrift()[0].GetDifference().GetStripe())
	require.Equal(t, []*controlv1.DriftCount{{Kind: "field", State: "found", Count: 1}}[0].GetKind(),
		ask[controlv1.GetStatusResponse](r, "GetStatus", `{}`).GetDrift()[0].GetKind())

	status, answer := r.call("ResolveDrift", `{"product_id":"cup","keep":"KEEP_STRIPE"}`)
	require.Equal(t, http.StatusNotFound, status, string(answer))
	status, _ = r.call("ResolveDrift", `{"product_id":"mug"}`)
	require.Equal(t, http.StatusBadRequest, status)

	require.Len(t, ask[controlv1.IgnoreDriftResponse](r, "IgnoreDrift", `{"product_id":"mug"}`).GetDrift(), 1)
	r.eventually("mug", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	ask[controlv1.ResolveDriftResponse](r, "ResolveDrift",
		`{"product_id":"mug","fields":["name"],"keep":"KEEP_STRIPE"}`)
	require.Equal(t, "By hand", (<-writeBacks).GetProduct().GetName())
	ask[controlv1.ResolveDriftResponse](r, "ResolveDrift", `{"product_id":"mug","keep":"KEEP_CATALOG"}`)
	require.Eventually(t, func() bool { return commands.Load() == 1 }, patience, 10*time.Millisecond)
	r.observe("mug", "Mug", 10)
	r.eventuallyDrift("mug", "repaired")
	r.eventually("mug", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
}

// productReads are the products that pull is commanded to read.
func (r *rig) productReads() chan string {
	r.t.Helper()
	out := make(chan string, 100)
	ctx, cancel := context.WithCancel(r.t.Context())
	done := make(chan error, 1)
	go func() {
		done <- mesh.Consume(ctx, r.mesh, mesh.Worker{Service: topology.Pull, Consumer: topology.PullCommand},
			func(_ context.Context, msg mesh.Message[*meshv1.Command]) mesh.Verdict {
				if read := msg.Body.GetRead(); read != nil {
					out <- read.GetProductId()
				}
				return mesh.Ack()
			})
	}()
	r.t.Cleanup(func() { cancel(); <-done })
	return out
}

// observeWhole observes a product together with an active price of each id, as pull does.
func (r *rig) observeWhole(id string, version uint64, byDefault string, prices ...string) {
	r.t.Helper()
	_, err := r.stores.Observed().Update(r.t.Context(), "default", id, func(o *catalogv1.Observed) error {
		var sightings []catalog.PriceSighting
		for _, p := range prices {
			sightings = append(sightings, catalog.PriceSighting{
				StripeID: p,
				Price:    &catalogv1.Price{Active: new(true), Currency: "eur", UnitAmount: "1400"},
			})
		}
		catalog.ObserveActive(o,
			catalog.ProductSighting{
				Product: &catalogv1.Product{Id: id, Name: "Stray", Active: new(true), DefaultPrice: byDefault},
				Seen:    1,
			}, sightings)
		o.Version = version
		return nil
	})
	require.NoError(r.t, err)
}

// eventPrice observes a price of a product from an event.
func (r *rig) eventPrice(id, price string) {
	r.t.Helper()
	_, err := r.stores.Observed().Update(r.t.Context(), "default", id, func(o *catalogv1.Observed) error {
		catalog.ObservePrice(o, catalog.PriceSighting{
			StripeID: price,
			Price:    &catalogv1.Price{Active: new(true), Currency: "eur", UnitAmount: "1500"},
			Seen:     2,
			Partial:  true,
			Fetched:  o.GetVersion() == 0,
		})
		return nil
	})
	require.NoError(r.t, err)
}

func TestImport_ReadsTheProductWithItsPricesFirst(t *testing.T) {
	r := newRig(t)
	r.setPolicy(nil)
	r.cfg.GracePeriod = 100 * time.Millisecond
	r.cfg.Extras = reconciliation.ExtrasImport
	writeBacks, reads := r.writeBacks(), r.productReads()
	r.start()
	r.observe("stray", "Stray", 0)
	require.Equal(t, "stray", <-reads)
	require.Equal(t, "extra", r.eventuallyDrift("stray", "repairing").GetDifference().GetKind())
	require.Empty(t, writeBacks, "its prices are not known")
	// Stripe's list of prices lags behind the product.
	r.observeWhole("stray", 0, "price_2", "price_1")
	require.Equal(t, "stray", <-reads, "its default price is not among them")
	require.Empty(t, writeBacks)
	r.eventPrice("stray", "price_2")
	r.observeWhole("stray", 0, "price_2", "price_1", "price_2")
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
			r := newRig(t)
			r.setPolicy(nil)
			r.cfg.GracePeriod = 100 * time.Millisecond
			r.cfg.Extras = extras
			writeBacks, reads := r.writeBacks(), r.productReads()
			r.start()
			desired := &catalogv1.Product{
				Id:           "stray",
				Name:         "Stray",
				DefaultPrice: "price_1",
				Prices:       []*catalogv1.Price{{Id: "price_1", Currency: "eur", UnitAmount: "1400"}},
			}
			require.NoError(t,
				r.mesh.Publish(t.Context(), topology.CatalogSubject("default", topology.Live, "stray"),
					&catalogv1.ProductChange{
						Account:   "default",
						ProductId: "stray",
						Version:   10,
						Operation: catalogv1.Operation_OPERATION_UPSERT,
						Product:   desired,
					}, mesh.WithVersion(10)))
			held := func(prices ...string) {
				r.observeWhole("stray", 10, "price_1", prices...)
				_, err := r.stores.Observed().Update(t.Context(), "default", "stray",
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
			r.eventually("stray", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
			r.eventPrice("stray", "price_2")
			state := map[reconciliation.Extras]string{
				reconciliation.ExtrasImport: "repairing",
				reconciliation.ExtrasReport: "found",
			}[extras]
			found := r.eventuallyDrift("stray", state)
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
