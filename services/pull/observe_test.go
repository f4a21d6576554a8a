package pull_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v76"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/budget"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

func TestObserve_AppliesLaterEventsAndRereadsForOthers(t *testing.T) {
	r := newRig(t)
	_, err := r.stripe.Products.New(&stripe.ProductParams{ID: stripe.String("mug"), Name: stripe.String("The truth")})
	require.NoError(t, err)
	r.pull(time.Hour)
	r.waitName("The truth")
	later := time.Now().Unix() + 100
	send := func(id, name string, at int64) {
		require.Equal(t, http.StatusOK,
			r.send(event{
				ID:       id,
				Type:     "product.updated",
				Created:  at,
				Object:   productObject(name, at),
				Previous: map[string]any{"name": ""},
			}.body(), secret))
	}
	send("evt_new", "Newer", later)
	r.waitName("Newer")
	// One event has the same second, and one is older: only a read can decide.
	send("evt_same", "Of the same second", later)
	r.waitName("The truth")
	send("evt_latest", "Latest", later+100)
	r.waitName("Latest")
	send("evt_old", "Old", later-50)
	r.waitName("The truth")
}

func TestObserve_RecordsDeletions(t *testing.T) {
	r := newRig(t)
	r.pull(200 * time.Millisecond)
	_, err := r.stripe.Products.New(&stripe.ProductParams{ID: stripe.String("mug"), Name: stripe.String("Mug")})
	require.NoError(t, err)
	r.waitName("Mug")
	_, err = r.stripe.Products.Del("mug", nil)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return r.observed().GetDeleted() && r.observed().GetProduct() == nil },
		patience, 10*time.Millisecond)
}

func TestObserve_AnEchoConfirmsItsCallAndChangesNothing(t *testing.T) {
	r := newRig(t)
	r.pull(time.Hour)
	const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	_, err := r.stores.Observed().Update(t.Context(), "default", "mug", func(o *catalogv1.Observed) error {
		o.Product = &catalogv1.Product{Id: "mug", Name: "As answered"}
		catalog.RecordIntents(o, &catalogv1.Intent{
			IdempotencyKey: "driftless-k1", Step: "update product mug", Traceparent: traceparent, Version: 7,
			At: timestamppb.Now(), Settled: true, Answered: true,
		})
		return nil
	})
	require.NoError(t, err)
	echo := event{
		ID:      "evt_1",
		Type:    "product.updated",
		Created: time.Now().Unix() + 10,
		Key:     "driftless-k1",
		Object:  productObject("As in the event", 1),
	}
	for range 3 {
		require.Equal(t, http.StatusOK, r.send(echo.body(), secret))
	}
	require.Eventually(t, func() bool { return r.stored(topology.StreamSync) == 1 }, patience, 5*time.Millisecond)
	require.Eventually(t, func() bool { return catalog.SeenEvent(r.observed(), "evt_1") }, patience, 5*time.Millisecond)
	require.Equal(t, "As answered", r.observed().GetProduct().GetName())
	require.Equal(t, "evt_1", r.observed().GetIntents()[0].GetConfirmedBy())
	stream, err := r.mesh.JetStream().Stream(t.Context(), topology.StreamSync)
	require.NoError(t, err)
	msg, err := stream.GetLastMsgForSubject(t.Context(),
		topology.SyncSubject("default", meshv1.OutcomeKind_OUTCOME_KIND_CONFIRMED, "mug"))
	require.NoError(t, err)
	require.Contains(t, msg.Header.Get("traceparent"), "0af7651916cd43dd8448eb211c80319c", "the call's own trace")
}

func TestObserve_RereadsForTheEchoOfACallWithoutAnAnswer(t *testing.T) {
	r := newRig(t)
	_, err := r.stripe.Products.New(&stripe.ProductParams{ID: stripe.String("mug"), Name: stripe.String("The truth")})
	require.NoError(t, err)
	r.pull(time.Hour)
	r.waitName("The truth")
	_, err = r.stores.Observed().Update(t.Context(), "default", "mug", func(o *catalogv1.Observed) error {
		o.Product = &catalogv1.Product{Id: "mug", Name: "Before the call"}
		o.Claim = &catalogv1.Claim{Holder: "slow", Until: timestamppb.New(time.Now().Add(time.Minute))}
		catalog.RecordIntents(o, &catalogv1.Intent{
			IdempotencyKey: "driftless-k1",
			Step:           "update product mug",
			Version:        7,
			At:             timestamppb.Now(),
			Settled:        true,
		})
		return nil
	})
	require.NoError(t, err)
	echo := event{
		ID:      "evt_1",
		Type:    "product.updated",
		Created: time.Now().Unix() + 10,
		Key:     "driftless-k1",
		Object:  productObject("As in the event", 1),
	}
	require.Equal(t, http.StatusOK, r.send(echo.body(), secret))
	localtest.Holds(t, 300*time.Millisecond,
		func() bool { return r.observed().GetProduct().GetName() == "Before the call" },
		"the push at work is about to record the answer")
	_, err = r.stores.Observed().Update(t.Context(), "default", "mug", func(o *catalogv1.Observed) error {
		o.Claim = nil
		return nil
	})
	require.NoError(t, err)
	r.waitName("The truth")
	require.Equal(t, "evt_1", r.observed().GetIntents()[0].GetConfirmedBy())
}

func TestObserve_AppliesEveryEventOfAProduct(t *testing.T) {
	r := newRig(t)
	stop := r.pull(100 * time.Millisecond)
	_, err := r.stripe.Products.New(&stripe.ProductParams{ID: stripe.String("mug"), Name: stripe.String("Mug")})
	require.NoError(t, err)
	r.waitName("Mug")
	stop()
	const n = 120
	for range n {
		_, err := r.stripe.Prices.New(&stripe.PriceParams{
			Product:    stripe.String("mug"),
			Currency:   stripe.String("eur"),
			UnitAmount: stripe.Int64(1),
		})
		require.NoError(t, err)
	}
	r.pull(100 * time.Millisecond)
	require.Eventually(t, func() bool { return len(r.observed().GetPrices()) == n }, patience, 20*time.Millisecond)
	stats, err := r.admin.Stats(t.Context())
	require.NoError(t, err)
	reads := stats.Endpoints["GET /v1/prices/{price}"].Requests
	reads += stats.Endpoints["GET /v1/prices"].Requests + stats.Endpoints["GET /v1/products/{id}"].Requests
	require.Less(t, reads, n/2, "events that come together cost few reads")
}

func TestObserve_ReadsWhatThinEventsName(t *testing.T) {
	r := newRig(t)
	r.stopEvents()
	r.pull(time.Hour)
	_, err := r.stripe.Products.New(&stripe.ProductParams{ID: stripe.String("mug"), Name: stripe.String("The truth")})
	require.NoError(t, err)
	price := r.price("mug", "mug-eur")
	thin := func(id, kind, object string) {
		body := fmt.Sprintf(
			`{"id":%q,"object":"v2.core.event","type":"v1.%s.updated","created":"2026-11-26T10:00:00.000Z","livemode":false,`+
				`"reason":{"type":"request","request":{"id":"req_1","idempotency_key":"k"}},"related_object":{"id":%q,"type":%q,"url":"/v1/x"}}`, id, kind, object, kind)
		require.Equal(t, http.StatusOK, r.send([]byte(body), secret))
	}
	thin("evt_1", "product", "mug")
	r.waitName("The truth")
	thin("evt_2", "price", price)
	require.Eventually(t, func() bool { return catalog.FindPrice(r.observed(), price).GetPrice().GetId() == "mug-eur" },
		patience, 5*time.Millisecond)
	thin("evt_3", "price", "price_gone")
	require.EqualValues(t, 2, r.stored(topology.StreamStripe), "the product of a price that is gone is unknown")
}

func TestObserve_AFloodOfInlinePricesCostsNoCalls(t *testing.T) {
	r := newRig(t)
	r.product("mug")
	r.price("mug", "mug-eur")
	r.product("cup")
	r.stopEvents()
	stop := r.pull(time.Hour)
	r.scan("s1")
	_, err := r.stores.Observed().Update(t.Context(), "default", "mug", func(o *catalogv1.Observed) error {
		o.Version = 7
		return nil
	})
	require.NoError(t, err)
	stop()
	const n = 2000
	publish := func(id string, change *meshv1.StripeChange) {
		change.Account, change.EventId = "default", id
		require.NoError(t,
			r.mesh.Publish(t.Context(), topology.StripeSubject("default", change.GetProductId()), change,
				mesh.WithID(id)))
	}
	for i := range n {
		id := fmt.Sprintf("evt_%d", i)
		e := event{ID: id, Type: "price.created", Created: 1000, Object: priceObject(fmt.Sprintf("price_%d", i), false)}
		if i%10 == 0 {
			// A checkout may archive the price of a sale only afterwards.
			e.Type, e.Object, e.Previous = "price.updated", priceObject(fmt.Sprintf("price_%d", i), false),
				map[string]any{"active": true}
		}
		publish(id, &meshv1.StripeChange{
			ProductId: "mug",
			Type:      e.Type,
			ObjectId:  fmt.Sprintf("price_%d", i),
			Event:     e.body(),
		})
	}
	later := time.Now().Unix() + 100
	object := productObject("Renamed", later)
	object["id"] = "cup"
	publish("evt_cup", &meshv1.StripeChange{
		ProductId: "cup", Type: "product.updated", ObjectId: "cup",
		Event: event{
			ID:       "evt_cup",
			Type:     "product.updated",
			Created:  later,
			Object:   object,
			Previous: map[string]any{"name": "Mug"},
		}.body(),
	})
	require.NoError(t, r.admin.ResetStats(t.Context()))
	revision, err := r.stores.Observed().Revision(t.Context())
	require.NoError(t, err)
	began := time.Now()
	r.pull(time.Hour)
	require.Eventually(t, func() bool { return r.observedOf("cup").GetProduct().GetName() == "Renamed" }, patience,
		5*time.Millisecond)
	t.Logf("another product waited %s behind %d events", time.Since(began), n)
	pulled := func() mesh.ConsumerStatus {
		m, err := mesh.Connect(t.Context(), mesh.Config{URL: r.nats, Name: "test", Account: "default"})
		require.NoError(t, err)
		defer m.Close()
		all, err := m.Consumers(t.Context())
		require.NoError(t, err)
		for _, c := range all {
			if c.Consumer == topology.PullStripe {
				return c
			}
		}
		return mesh.ConsumerStatus{}
	}
	require.Eventually(t, func() bool { c := pulled(); return c.Pending+c.InFlight == 0 && c.AckFloor > 0 }, patience,
		10*time.Millisecond)
	require.Zero(t, r.reads()+r.listCalls()+r.requests("GET /v1/products/{id}"))
	after, err := r.stores.Observed().Revision(t.Context())
	require.NoError(t, err)
	require.Equal(t, revision+1, after, "only the other product was written")
	require.Len(t, r.observed().GetPrices(), 1)
}

// TestObserve_KeepsTheReserveOfReads: the rest of the allowance is for products of the catalog.
func TestObserve_KeepsTheReserveOfReads(t *testing.T) {
	r := newRig(t)
	r.limits = budget.Limits{ReadAllowance: 1000}
	_, err := r.stores.Budget("default").CompareAndPut(t.Context(),
		&meshv1.Budget{Reads: map[string]uint64{time.Now().UTC().Format(time.DateOnly): 900}}, 0)
	require.NoError(t, err)
	r.product("mug")
	r.product("cup")
	r.stopEvents()
	for _, id := range []string{"mug", "cup"} {
		_, err = r.stores.Observed().Update(t.Context(), "default", id, func(o *catalogv1.Observed) error {
			o.Product, o.ProductSeen, o.ProductUpdated, o.Whole = &catalogv1.Product{Id: id, Name: "Known"}, 500, 500,
				true
			if id == "cup" {
				o.Version = 7
			}
			return nil
		})
		require.NoError(t, err)
	}
	r.pull(time.Hour)
	for _, id := range []string{"mug", "cup"} {
		object := productObject("Old", 400)
		object["id"] = id
		require.Equal(t, http.StatusOK,
			r.send(event{
				ID:       "evt_" + id,
				Type:     "product.updated",
				Created:  400,
				Object:   object,
				Previous: map[string]any{"name": ""},
			}.body(), secret))
	}
	require.Eventually(t, func() bool {
		return catalog.SeenEvent(r.observedOf("mug"), "evt_mug") && catalog.SeenEvent(r.observedOf("cup"), "evt_cup")
	}, patience, 5*time.Millisecond)
	require.Equal(t, 1, r.requests("GET /v1/products/{id}"))
	require.Equal(t, "Known", r.observedOf("mug").GetProduct().GetName())
	require.False(t, r.observedOf("mug").GetWhole(), "an import reads it first")
	require.True(t, r.observedOf("mug").GetStale(), "push reads it before its first plan")
	require.False(t, r.observedOf("cup").GetStale())
	require.NotEqual(t, "Known", r.observedOf("cup").GetProduct().GetName())
}

func TestObserve_RereadsAPriceAfterAnUpdateThatShowsNothing(t *testing.T) {
	r := newRig(t)
	r.pull(200 * time.Millisecond)
	_, err := r.stripe.Products.New(&stripe.ProductParams{ID: stripe.String("mug"), Name: stripe.String("Mug")})
	require.NoError(t, err)
	price, err := r.stripe.Prices.New(&stripe.PriceParams{
		Product:    stripe.String("mug"),
		Currency:   stripe.String("eur"),
		UnitAmount: stripe.Int64(1),
	})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return len(r.observed().GetPrices()) == 1 }, patience, 10*time.Millisecond)
	// Events never have currency options.
	params := &stripe.PriceParams{
		CurrencyOptions: map[string]*stripe.PriceCurrencyOptionsParams{"usd": {UnitAmount: stripe.Int64(2)}},
	}
	_, err = r.stripe.Prices.Update(price.ID, params)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		return r.observed().GetPrices()[0].GetPrice().GetCurrencyOptions()["usd"].GetUnitAmount() == "2"
	}, patience, 10*time.Millisecond)
}

// TestObserve_TwinEventsDoNotUndoLaterChanges: Stripe may send two events with different ids for one change, and
// send them late.
func TestObserve_TwinEventsDoNotUndoLaterChanges(t *testing.T) {
	r := newRig(t)
	_, err := r.stripe.Products.New(&stripe.ProductParams{ID: stripe.String("mug"), Name: stripe.String("The truth")})
	require.NoError(t, err)
	r.pull(time.Hour)
	r.waitName("The truth")
	first := time.Now().Unix() + 100
	change := event{
		ID:       "evt_1",
		Type:     "product.updated",
		Created:  first,
		Object:   productObject("First", first),
		Previous: map[string]any{"name": ""},
	}
	twin := change
	twin.ID = "evt_2"
	require.Equal(t, http.StatusOK, r.send(change.body(), secret))
	r.waitName("First")
	before := r.requests("GET /v1/products/{id}")
	require.Equal(t, http.StatusOK, r.send(twin.body(), secret))
	require.Eventually(t, func() bool { return catalog.SeenEvent(r.observed(), "evt_2") }, patience, 5*time.Millisecond)
	require.Equal(t, "First", r.observed().GetProduct().GetName())
	require.Equal(t, before, r.requests("GET /v1/products/{id}"), "a duplicate shows nothing new, and costs no read")
	later := event{
		ID:       "evt_3",
		Type:     "product.updated",
		Created:  first + 10,
		Object:   productObject("Second", first+10),
		Previous: map[string]any{"name": "First"},
	}
	require.Equal(t, http.StatusOK, r.send(later.body(), secret))
	r.waitName("Second")
	twin.ID = "evt_4"
	require.Equal(t, http.StatusOK, r.send(twin.body(), secret))
	// It is older than the observed state: only a read can decide.
	r.waitName("The truth")
}

// TestObserve_ACreationAfterADeletionDoesNotUndoIt: events arrive in any order, and the payload of a deletion looks
// like any other.
func TestObserve_ACreationAfterADeletionDoesNotUndoIt(t *testing.T) {
	r := newRig(t)
	r.pull(time.Hour)
	now := time.Now().Unix()
	gone := event{ID: "evt_gone", Type: "product.deleted", Created: now, Object: productObject("Mug", now)}
	made := event{ID: "evt_made", Type: "product.created", Created: now, Object: productObject("Mug", now)}
	require.Equal(t, http.StatusOK, r.send(gone.body(), secret))
	require.Eventually(t, func() bool { return r.observed().GetDeleted() }, patience, 5*time.Millisecond)
	require.Equal(t, http.StatusOK, r.send(made.body(), secret))
	require.Eventually(t, func() bool { return catalog.SeenEvent(r.observed(), "evt_made") }, patience,
		5*time.Millisecond)
	require.Nil(t, r.observed().GetProduct(), "Stripe was asked, and holds none")
	require.True(t, r.observed().GetDeleted())
}

func TestObserve_AProductWithALongIDStopsNothing(t *testing.T) {
	r := newRig(t)
	r.pull(time.Hour)
	long := strings.Repeat("é", 2500)
	object := productObject("Long", 100)
	object["id"] = long
	require.Equal(t, http.StatusOK,
		r.send(event{ID: "evt_1", Type: "product.updated", Created: 100, Object: object}.body(), secret))
	require.Eventually(t, func() bool {
		o, _, err := r.stores.Observed().Get(t.Context(), "default", long)
		return err == nil && o.GetProductId() == long && o.GetProduct().GetName() == "Long"
	}, patience, 5*time.Millisecond)
	require.Equal(t, http.StatusOK,
		r.send(event{ID: "evt_2", Type: "product.updated", Created: 100, Object: productObject("Mug", 100)}.body(),
			secret))
	r.waitName("Mug")
}
