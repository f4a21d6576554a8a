package pull_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/client"
	"github.com/stripe/stripe-go/v76/webhook"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/budget"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/httpserver"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/pull"
	"github.com/driftless-sync/driftless/services/stripesim"
)

const (
	patience = 30 * time.Second
	key      = "sk_test_pull"
	secret   = "whsec_new"
)

// rig is a mesh with a simulator and no service but pull.
type rig struct {
	t      *testing.T
	mesh   *mesh.Mesh
	stores *state.Stores
	nats   string
	simURL string
	url    string
	admin  stripesim.Admin
	stripe *client.API
	limits budget.Limits
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t}
	r.nats, _ = localtest.NATS(t)
	var err error
	r.mesh, err = mesh.Connect(t.Context(), mesh.Config{URL: r.nats, Name: "test"})
	require.NoError(t, err)
	t.Cleanup(r.mesh.Close)
	r.stores = state.New(r.mesh)
	require.NoError(t, topology.Apply(t.Context(), r.mesh.JetStream(), topology.Options{}))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	r.simURL = "http://" + listener.Addr().String()
	r.admin = stripesim.Admin{BaseURL: r.simURL}
	r.run(func(ctx context.Context) error {
		return stripesim.Run(ctx, stripesim.Config{Listener: listener, Limits: stripesim.Limits{Off: true}})
	})
	r.stripe = client.New(key,
		&stripe.Backends{API: stripe.GetBackendWithConfig(stripe.APIBackend, &stripe.BackendConfig{
			URL: stripe.String(r.simURL), LeveledLogger: &stripe.LeveledLogger{Level: stripe.LevelNull},
		})})
	return r
}

func (r *rig) run(run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(r.t.Context())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(r.t, <-done)
	})
	r.t.Cleanup(stop)
	return stop
}

// pull starts the service. Its first poll happens at once, the next after the interval.
func (r *rig) pull(interval time.Duration) (stop func()) {
	r.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(r.t, err)
	r.url = "http://" + listener.Addr().String()
	stop = r.run(func(ctx context.Context) error {
		return pull.Run(ctx, pull.Config{
			Account: "default", NATS: mesh.Config{URL: r.nats, Name: "pull"},
			Stripe: stripeapi.Config{Key: key, Base: r.simURL},
			Limits: r.limits, WebhookSecrets: []string{"whsec_old", secret}, PollInterval: interval,
			HTTP: httpserver.Config{Listener: listener},
		})
	})
	require.Eventually(r.t, func() bool {
		resp, err := http.Get(r.url + "/readyz")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}, patience, 5*time.Millisecond)
	return stop
}

// tunnel is the host name of the endpoint in Stripe.
const tunnel = "hooks.example.com"

// event is a webhook's body.
type event struct {
	ID       string
	Type     string
	Created  int64
	Live     bool
	Key      string
	Account  string
	Object   map[string]any
	Previous map[string]any
}

func (e event) body() []byte {
	data, err := json.Marshal(map[string]any{
		"account": e.Account, "id": e.ID, "object": "event", "type": e.Type, "created": e.Created, "livemode": e.Live,
		"api_version": "2023-10-16",
		"request":     map[string]any{"id": "req_1", "idempotency_key": e.Key},
		"data":        map[string]any{"object": e.Object, "previous_attributes": e.Previous},
	})
	if err != nil {
		panic(err)
	}
	return data
}

func productObject(name string, updated int64) map[string]any {
	return map[string]any{
		"id":       "mug",
		"object":   "product",
		"active":   true,
		"name":     name,
		"updated":  updated,
		"metadata": map[string]string{},
	}
}

func (r *rig) send(body []byte, signedWith string) int {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, r.url+pull.WebhookPath,
		bytes.NewReader(body))
	require.NoError(r.t, err)
	req.Host = tunnel
	req.Header.Set("Origin", "https://"+tunnel)
	if signedWith != "" {
		signed := webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: body, Secret: signedWith})
		req.Header.Set("Stripe-Signature", signed.Header)
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(r.t, err)
	defer resp.Body.Close()
	return resp.StatusCode
}

func (r *rig) stored(stream string) uint64 {
	r.t.Helper()
	s, err := r.mesh.JetStream().Stream(r.t.Context(), stream)
	require.NoError(r.t, err)
	info, err := s.Info(r.t.Context())
	require.NoError(r.t, err)
	return info.State.Msgs
}

func (r *rig) observed() *catalogv1.Observed {
	r.t.Helper()
	o, _, err := r.stores.Observed().Get(r.t.Context(), "default", "mug")
	require.NoError(r.t, err)
	return o
}

func (r *rig) seen(name string) {
	r.t.Helper()
	require.Eventually(r.t, func() bool { return r.observed().GetProduct().GetName() == name }, patience,
		5*time.Millisecond, name)
}

func TestWebhook_ChecksBeforeItStores(t *testing.T) {
	r := newRig(t)
	r.pull(time.Hour)
	good := event{ID: "evt_1", Type: "product.updated", Created: 100, Object: productObject("Mug", 100)}
	live := good
	live.Live = true
	connected := good
	connected.Account = "acct_other"
	connectedTest := connected
	connectedTest.Live = true
	other := event{
		ID:      "evt_2",
		Type:    "customer.created",
		Created: 100,
		Object:  map[string]any{"id": "cus_1", "object": "customer"},
	}
	for name, c := range map[string]struct {
		body   []byte
		secret string
		want   int
	}{
		"not signed":                          {good.body(), "", http.StatusBadRequest},
		"wrong secret":                        {good.body(), "whsec_wrong", http.StatusBadRequest},
		"not an event":                        {[]byte(`{"a":1}`), secret, http.StatusBadRequest},
		"no JSON":                             {[]byte(`hello`), secret, http.StatusBadRequest},
		"the other mode":                      {live.body(), secret, http.StatusBadRequest},
		"about another kind":                  {other.body(), secret, http.StatusOK},
		"of a connected account":              {connected.body(), secret, http.StatusOK},
		"of a connected account's other mode": {connectedTest.body(), secret, http.StatusOK},
		"a ping of an event destination": {
			[]byte(`{"id":"evt_ping","object":"v2.core.event","type":"v2.core.event_destination.ping","created":"2026-11-26T10:00:00.000Z","livemode":false,` +
				`"related_object":{"id":"ed_1","type":"v2.core.event_destination","url":"/v2/core/event_destinations/ed_1"}}`), secret, http.StatusOK,
		},
		"a thin event about another kind": {
			[]byte(`{"id":"evt_thin","object":"v2.core.event","type":"v1.customer.created","created":"2026-11-26T10:00:00.000Z","livemode":false,` +
				`"related_object":{"id":"cus_1","type":"customer","url":"/v1/customers/cus_1"}}`), secret,
			http.StatusOK,
		},
	} {
		require.Equal(t, c.want, r.send(c.body, c.secret), name)
	}
	require.Zero(t, r.stored(topology.StreamStripe))
	resp, err := http.Get(r.url + pull.WebhookPath)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusMethodNotAllowed, resp.StatusCode)

	require.Equal(t, http.StatusOK, r.send(good.body(), "whsec_old"), "either secret will do")
	require.EqualValues(t, 1, r.stored(topology.StreamStripe), "200 only once it is stored")
	require.Equal(t, http.StatusOK, r.send(good.body(), secret))
	require.EqualValues(t, 1, r.stored(topology.StreamStripe), "the same event again")
	r.seen("Mug")
}

func TestWebhook_AnswersAnErrorIfItCannotStore(t *testing.T) {
	r := newRig(t)
	r.pull(time.Hour)
	require.NoError(t, r.mesh.JetStream().DeleteStream(t.Context(), topology.StreamSync))
	stream, err := r.mesh.JetStream().Stream(t.Context(), topology.StreamStripe)
	require.NoError(t, err)
	cfg := stream.CachedInfo().Config
	cfg.Sealed = true
	_, err = r.mesh.JetStream().UpdateStream(t.Context(), cfg)
	require.NoError(t, err)
	require.Equal(t, http.StatusServiceUnavailable,
		r.send(event{ID: "evt_1", Type: "product.updated", Created: 1, Object: productObject("Mug", 1)}.body(), secret))
}

func TestObserve_AppliesLaterEventsAndRereadsForOthers(t *testing.T) {
	r := newRig(t)
	_, err := r.stripe.Products.New(&stripe.ProductParams{ID: stripe.String("mug"), Name: stripe.String("The truth")})
	require.NoError(t, err)
	r.pull(time.Hour)
	r.seen("The truth")
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
	r.seen("Newer")
	// One event has the same second, and one is older: only a read can decide.
	send("evt_same", "Of the same second", later)
	r.seen("The truth")
	send("evt_newest", "Newest", later+100)
	r.seen("Newest")
	send("evt_old", "Old", later-50)
	r.seen("The truth")
}

func TestObserve_RecordsDeletions(t *testing.T) {
	r := newRig(t)
	r.pull(200 * time.Millisecond)
	_, err := r.stripe.Products.New(&stripe.ProductParams{ID: stripe.String("mug"), Name: stripe.String("Mug")})
	require.NoError(t, err)
	r.seen("Mug")
	_, err = r.stripe.Products.Del("mug", nil)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return r.observed().GetDeleted() && r.observed().GetProduct() == nil },
		patience, 10*time.Millisecond)
}

func TestPoll_ContinuesAtItsCursor(t *testing.T) {
	r := newRig(t)
	stop := r.pull(100 * time.Millisecond)
	for i := range 3 {
		_, err := r.stripe.Products.New(&stripe.ProductParams{
			ID:   stripe.String(fmt.Sprintf("a%d", i)),
			Name: stripe.String("A"),
		})
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool { return r.stored(topology.StreamStripe) == 3 }, patience, 10*time.Millisecond)
	stop()
	for i := range 150 {
		_, err := r.stripe.Products.New(&stripe.ProductParams{
			ID:   stripe.String(fmt.Sprintf("b%d", i)),
			Name: stripe.String("B"),
		})
		require.NoError(t, err)
	}
	r.pull(100 * time.Millisecond)
	require.Eventually(t, func() bool { return r.stored(topology.StreamStripe) == 153 }, patience, 10*time.Millisecond,
		"more than a page, none twice")
	localtest.Holds(t, 500*time.Millisecond, func() bool { return r.stored(topology.StreamStripe) == 153 },
		"later readings store nothing again")
}

// TestPoll_ReadsManyEventsPageByPageOldestFirst: the events of an import half an hour ago may exceed the
// memory.
func TestPoll_ReadsManyEventsPageByPageOldestFirst(t *testing.T) {
	r := newRig(t)
	const n = 250
	for i := range n {
		r.product(fmt.Sprintf("p%d", i))
	}
	target, err := url.Parse(r.simURL)
	require.NoError(t, err)
	var mu sync.Mutex
	var stored []uint64
	proxy := &httputil.ReverseProxy{Rewrite: func(req *httputil.ProxyRequest) {
		req.SetURL(target)
		if req.In.URL.Path == "/v1/events" {
			mu.Lock()
			defer mu.Unlock()
			stored = append(stored, r.stored(topology.StreamStripe))
		}
	}}
	server := httptest.NewServer(proxy)
	t.Cleanup(server.Close)
	r.simURL = server.URL
	r.pull(time.Hour)
	require.Eventually(t, func() bool { return r.stored(topology.StreamStripe) == n }, patience, 10*time.Millisecond)
	mu.Lock()
	defer mu.Unlock()
	require.Equal(t, []uint64{0, 0, 0, 50, 150}, stored,
		"on the way to the oldest nothing is kept; from there each page is stored before the next is read")
	stream, err := r.mesh.JetStream().Stream(t.Context(), topology.StreamStripe)
	require.NoError(t, err)
	for i := range n {
		msg, err := stream.GetMsg(t.Context(), uint64(i+1))
		require.NoError(t, err)
		require.Equal(t, topology.StripeSubject("default", fmt.Sprintf("p%d", i)), msg.Subject)
	}
}

func TestPoll_ScansAfterALostCursor(t *testing.T) {
	r := newRig(t)
	require.NoError(t, r.stores.Record(topology.KeyEvents, "default").PutString(t.Context(), "evt_forgotten"))
	_, err := r.stripe.Products.New(&stripe.ProductParams{ID: stripe.String("mug"), Name: stripe.String("Mug")})
	require.NoError(t, err)
	r.pull(time.Hour)
	r.seen("Mug")
	require.Eventually(t, func() bool {
		report := &meshv1.ScanReport{}
		ok, err := r.stores.Record(topology.KeyScan, "default").Get(t.Context(), report)
		return err == nil && ok && report.GetFinishedAt() != nil
	}, patience, 10*time.Millisecond)
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
	r.seen("The truth")
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
	r.seen("The truth")
	require.Equal(t, "evt_1", r.observed().GetIntents()[0].GetConfirmedBy())
}

func TestObserve_AppliesEveryEventOfAProduct(t *testing.T) {
	r := newRig(t)
	stop := r.pull(100 * time.Millisecond)
	_, err := r.stripe.Products.New(&stripe.ProductParams{ID: stripe.String("mug"), Name: stripe.String("Mug")})
	require.NoError(t, err)
	r.seen("Mug")
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
	require.Less(t, reads, n/2, "what comes together costs few reads")
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
	r.seen("The truth")
	thin("evt_2", "price", price)
	require.Eventually(t, func() bool { return catalog.FindPrice(r.observed(), price).GetPrice().GetId() == "mug-eur" },
		patience, 5*time.Millisecond)
	thin("evt_3", "price", "price_gone")
	require.EqualValues(t, 2, r.stored(topology.StreamStripe), "the product of a price that is gone is unknown")
}

// priceObject is a price made by a checkout.
func priceObject(id string, active bool) map[string]any {
	return map[string]any{
		"id": id, "object": "price", "product": "mug", "active": active, "currency": "eur", "unit_amount": 700,
		"unit_amount_decimal": "700",
		"billing_scheme":      "per_unit", "created": 100, "metadata": map[string]string{},
		"tax_behavior": "unspecified",
	}
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
	require.Eventually(t, func() bool { return r.known("cup").GetProduct().GetName() == "Renamed" }, patience,
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
		return catalog.SeenEvent(r.known("mug"), "evt_mug") && catalog.SeenEvent(r.known("cup"), "evt_cup")
	}, patience, 5*time.Millisecond)
	require.Equal(t, 1, r.requests("GET /v1/products/{id}"))
	require.Equal(t, "Known", r.known("mug").GetProduct().GetName())
	require.False(t, r.known("mug").GetWhole(), "an import reads it first")
	require.NotEqual(t, "Known", r.known("cup").GetProduct().GetName())
}

func TestReadProduct_ReadsTheProductAndItsActivePrices(t *testing.T) {
	r := newRig(t)
	r.product("mug")
	sold := r.price("mug", "")
	old, err := r.admin.CreatePrice(t.Context(),
		url.Values{"product": {"mug"}, "currency": {"eur"}, "unit_amount": {"700"}, "active": {"false"}}, false)
	require.NoError(t, err)
	r.stopEvents()
	r.pull(time.Hour)
	command := &meshv1.Command{
		Id:      "r1",
		Account: "default",
		Verb:    &meshv1.Command_Read{Read: &meshv1.ReadProduct{ProductId: "mug"}},
	}
	require.NoError(t,
		r.mesh.Publish(t.Context(), topology.CommandSubject(topology.Pull, "default", topology.VerbRead, "mug"),
			command))
	require.Eventually(t, func() bool { return r.observed().GetWhole() }, patience, 5*time.Millisecond)
	require.NotNil(t, catalog.FindPrice(r.observed(), sold))
	require.Nil(t, catalog.FindPrice(r.observed(), old))
	require.Empty(t, catalog.ImportBlocker(r.observed()))
	require.Equal(t, 1, r.requests("GET /v1/prices"))
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

func TestScan_KeepsTheReserveOfReads(t *testing.T) {
	r := newRig(t)
	r.limits = budget.Limits{ReadAllowance: 100}
	_, err := r.stores.Budget("default").CompareAndPut(t.Context(),
		&meshv1.Budget{Reads: map[string]uint64{time.Now().UTC().Format(time.DateOnly): 90}}, 0)
	require.NoError(t, err)
	r.pull(time.Hour)
	command := &meshv1.Command{Id: "s1", Account: "default", Verb: &meshv1.Command_Scan{Scan: &meshv1.Scan{}}}
	require.NoError(t,
		r.mesh.Publish(t.Context(), topology.CommandSubject(topology.Pull, "default", topology.VerbScan, ""), command))
	report := &meshv1.ScanReport{}
	require.Eventually(t, func() bool {
		_, err := r.stores.Record(topology.KeyScan, "default").Get(t.Context(), report)
		return err == nil && report.GetError() != ""
	}, patience, 10*time.Millisecond)
	require.Contains(t, report.GetError(), "of 100 reads of 30 days are used up")
	require.Contains(t, report.GetError(), "STRIPE_READ_ALLOWANCE")
	require.Eventually(t, func() bool { return r.stored(topology.StreamCommand) == 0 }, patience, 10*time.Millisecond,
		"stopped, not retried")
	stats, err := r.admin.Stats(t.Context())
	require.NoError(t, err)
	require.Zero(t, stats.Endpoints["GET /v1/products"].Requests)
}

func TestPoll_ScansAfterAnExpiredCursorAndReportsWhy(t *testing.T) {
	for name, cursor := range map[string]string{
		"at an event":  "evt_old@" + strconv.FormatInt(time.Now().Add(-31*24*time.Hour).Unix(), 10),
		"at no event":  "@" + strconv.FormatInt(time.Now().Add(-31*24*time.Hour).Unix(), 10),
		"just too old": "evt_old@" + strconv.FormatInt(time.Now().Add(-30*24*time.Hour+time.Hour).Unix(), 10),
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			require.NoError(t, r.stores.Record(topology.KeyEvents, "default").PutString(t.Context(), cursor))
			_, err := r.stripe.Products.New(&stripe.ProductParams{ID: stripe.String("mug"), Name: stripe.String("Mug")})
			require.NoError(t, err)
			r.pull(100 * time.Millisecond)
			r.seen("Mug")
			report := &meshv1.ScanReport{}
			require.Eventually(t, func() bool {
				_, err := r.stores.Record(topology.KeyScan, "default").Get(t.Context(), report)
				return err == nil && report.GetFinishedAt() != nil
			}, patience, 10*time.Millisecond)
			require.Equal(t, topology.Pull, report.GetIssuer())
			require.Contains(t, report.GetReason(), "older than the events that Stripe keeps")
			id := report.GetId()
			localtest.Holds(t, 500*time.Millisecond, func() bool {
				_, err := r.stores.Record(topology.KeyScan, "default").Get(t.Context(), report)
				return err == nil && report.GetId() == id && r.stored(topology.StreamCommand) == 0
			}, "once is enough")
		})
	}
}

func TestPoll_RecordsItsResults(t *testing.T) {
	r := newRig(t)
	poll := func() *meshv1.PollReport {
		report := &meshv1.PollReport{}
		_, err := r.stores.Record(topology.KeyPoll, "default").Get(t.Context(), report)
		require.NoError(t, err)
		return report
	}
	_, err := r.stripe.Products.New(&stripe.ProductParams{ID: stripe.String("mug"), Name: stripe.String("Mug")})
	require.NoError(t, err)
	r.pull(50 * time.Millisecond)
	require.Eventually(t, func() bool { return poll().GetEvents() == 1 && poll().GetError() == "" }, patience,
		10*time.Millisecond)
	require.WithinDuration(t, time.Now(), poll().GetReadUpTo().AsTime(), time.Minute)
	require.Equal(t, 50*time.Millisecond, poll().GetInterval().AsDuration())
	fault, err := r.admin.AddFault(t.Context(), stripesim.Fault{Kind: stripesim.FaultUnavailable, Path: "/v1/events"})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return poll().GetError() != "" }, patience, 10*time.Millisecond)
	require.NotNil(t, poll().GetAt(), "when it last succeeded stays known")
	require.NoError(t, r.admin.RemoveFault(t.Context(), fault.ID))
	require.Eventually(t, func() bool { return poll().GetError() == "" }, patience, 10*time.Millisecond)
}

// TestObserve_TwinEventsDoNotUndoLaterChanges: Stripe may send two events with different ids for one change, and
// send them late.
func TestObserve_TwinEventsDoNotUndoLaterChanges(t *testing.T) {
	r := newRig(t)
	_, err := r.stripe.Products.New(&stripe.ProductParams{ID: stripe.String("mug"), Name: stripe.String("The truth")})
	require.NoError(t, err)
	r.pull(time.Hour)
	r.seen("The truth")
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
	r.seen("First")
	before := r.requests("GET /v1/products/{id}")
	require.Equal(t, http.StatusOK, r.send(twin.body(), secret))
	require.Eventually(t, func() bool { return catalog.SeenEvent(r.observed(), "evt_2") }, patience, 5*time.Millisecond)
	require.Equal(t, "First", r.observed().GetProduct().GetName())
	require.Equal(t, before, r.requests("GET /v1/products/{id}"), "a twin says nothing new, and costs no reading")
	later := event{
		ID:       "evt_3",
		Type:     "product.updated",
		Created:  first + 10,
		Object:   productObject("Second", first+10),
		Previous: map[string]any{"name": "First"},
	}
	require.Equal(t, http.StatusOK, r.send(later.body(), secret))
	r.seen("Second")
	twin.ID = "evt_4"
	require.Equal(t, http.StatusOK, r.send(twin.body(), secret))
	// It is older than the observed state: only a read can decide.
	r.seen("The truth")
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

func TestRun_EndsWhenTheConnectionIsClosed(t *testing.T) {
	r := newRig(t)
	line := localtest.LineTo(t, r.nats)
	done := make(chan error, 1)
	go func() {
		done <- pull.Run(t.Context(), pull.Config{
			Account: "default", NATS: mesh.Config{URL: r.nats, Name: "pull", InProcess: line},
			Stripe: stripeapi.Config{Key: key, Base: r.simURL},
			HTTP:   httpserver.Config{Addr: "127.0.0.1:0"},
		})
	}()
	body := event{ID: "evt_1", Type: "product.updated", Created: 100, Object: productObject("Mug", 100)}.body()
	require.NoError(t, r.mesh.Publish(t.Context(), topology.StripeSubject("default", "mug"), &meshv1.StripeChange{
		Account: "default", ProductId: "mug", EventId: "evt_1", Type: "product.updated", ObjectId: "mug", Event: body,
	}))
	r.seen("Mug")
	line.Abuse(t)
	require.ErrorContains(t, <-done, "the connection to NATS was closed for good")
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
	r.seen("Mug")
}
