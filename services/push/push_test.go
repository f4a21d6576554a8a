package push_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/client"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/httpserver"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/push"
	"github.com/driftless-sync/driftless/services/stripesim"
)

const (
	patience = 30 * time.Second
	key      = "sk_test_push"
	readOnly = "rk_test_readonly"
	otherKey = "sk_test_other"
)

// rig is a mesh with a simulator and no service but push.
type rig struct {
	t      *testing.T
	mesh   *mesh.Mesh
	stores *state.Stores
	nats   string
	simURL string
	admin  stripesim.Admin
	stripe *client.API
}

func newRig(t *testing.T, faults ...stripesim.Fault) *rig {
	t.Helper()
	return newRigOf(t, strict, faults...)
}

func newStrictRig(t *testing.T) *rig {
	t.Helper()
	return newRigOf(t, true)
}

func newRigOf(t *testing.T, strict bool, faults ...stripesim.Fault) *rig {
	t.Helper()
	url, _ := localtest.NATS(t)
	return newRigOn(t, url, 1, strict, faults...)
}

// newRigOn makes a rig on a NATS server, or on a cluster with that many replicas.
func newRigOn(t *testing.T, url string, replicas int, strict bool, faults ...stripesim.Fault) *rig {
	t.Helper()
	r := &rig{t: t, nats: url}
	var err error
	r.mesh, err = mesh.Connect(t.Context(), mesh.Config{URL: r.nats, Name: "test"})
	require.NoError(t, err)
	t.Cleanup(r.mesh.Close)
	r.stores = state.New(r.mesh)
	require.NoError(t, topology.Apply(t.Context(), r.mesh.JetStream(), topology.Options{Replicas: replicas}))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	r.simURL = "http://" + listener.Addr().String()
	r.admin = stripesim.Admin{BaseURL: r.simURL}
	r.run(func(ctx context.Context) error {
		return stripesim.Run(ctx, stripesim.Config{
			Listener: listener, Limits: stripesim.Limits{Off: true}, Faults: faults, DocumentedClearsOnly: strict,
			RefuseDeletedIDs: strict,
			APIKeys: []stripesim.APIKey{
				{Key: key},
				{Key: readOnly, ReadOnly: true},
				{Key: otherKey, Account: "acct_other"},
			},
		})
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

func (r *rig) config(key string) push.Config {
	return push.Config{
		Account: "default", NATS: mesh.Config{URL: r.nats, Name: "push"},
		Stripe: stripeapi.Config{Key: key, Base: r.simURL},
		HTTP:   httpserver.Config{Addr: "127.0.0.1:0"},
	}
}

func (r *rig) push() (stop func()) {
	return r.run(func(ctx context.Context) error { return push.Run(ctx, r.config(key)) })
}

func mug(name, amount string) *catalogv1.Product {
	return &catalogv1.Product{
		Id: "mug", Name: name, DefaultPrice: "mug-one",
		Prices: []*catalogv1.Price{{Id: "mug-one", Currency: "eur", UnitAmount: amount}},
	}
}

// pack is a mug with a price that Stripe cannot create together with a product.
func pack(name, amount string) *catalogv1.Product {
	p := mug(name, amount)
	p.Prices[0].TransformQuantity = &catalogv1.TransformQuantity{DivideBy: 6, Round: "up"}
	return p
}

// calls counts the requests by endpoint, without reads.
func (r *rig) calls() map[string]int {
	r.t.Helper()
	stats, err := r.admin.Stats(r.t.Context())
	require.NoError(r.t, err)
	out := map[string]int{}
	for endpoint, s := range stats.Endpoints {
		if strings.HasPrefix(endpoint, http.MethodPost) {
			out[endpoint] = s.Requests
		}
	}
	return out
}

func (r *rig) want(p *catalogv1.Product, version uint64) {
	r.t.Helper()
	require.NoError(r.t,
		r.mesh.Publish(r.t.Context(), topology.CatalogSubject("default", topology.Live, p.GetId()),
			&catalogv1.ProductChange{
				Account: "default", ProductId: p.GetId(), Version: version,
				Operation: catalogv1.Operation_OPERATION_UPSERT,
				Product:   p,
			}, mesh.WithVersion(version)))
}

func (r *rig) observed(product string) *catalogv1.Observed {
	r.t.Helper()
	o, _, err := r.stores.Observed().Get(r.t.Context(), "default", product)
	require.NoError(r.t, err)
	return o
}

// applied waits until a version is applied in full and no claim is left.
func (r *rig) applied(product string, version uint64) *catalogv1.Observed {
	r.t.Helper()
	require.Eventually(r.t, func() bool {
		o := r.observed(product)
		return o.GetVersion() >= version && o.GetClaim() == nil && !o.GetStale()
	}, patience, 10*time.Millisecond)
	return r.observed(product)
}

// prices counts the product's active and archived prices in Stripe.
func (r *rig) prices(product string) (active, archived int) {
	r.t.Helper()
	for _, isActive := range []bool{true, false} {
		list := r.stripe.Prices.List(&stripe.PriceListParams{
			Product: stripe.String(product),
			Active:  stripe.Bool(isActive),
		})
		for list.Next() {
			if isActive {
				active++
			} else {
				archived++
			}
		}
		require.NoError(r.t, list.Err())
	}
	return active, archived
}

func TestPush_NeverRepeatsACallOfUnknownOutcome(t *testing.T) {
	t.Parallel()
	for _, kind := range []stripesim.FaultKind{
		stripesim.FaultResponseLost, stripesim.FaultErrorAfter, stripesim.FaultErrorBefore, stripesim.FaultReset,
		stripesim.FaultBadGateway,
		stripesim.FaultUnavailable, stripesim.FaultLockTimeout, stripesim.FaultRateLimit,
	} {
		for _, c := range []struct {
			path    string
			product *catalogv1.Product
		}{
			{"/v1/products", mug("Mug", "1400")},
			{"/v1/prices/{price}", mug("Mug", "1400")},
			{"/v1/prices", pack("Mugs", "1400")},
			{"/v1/products/{id}", pack("Mugs", "1400")},
		} {
			t.Run(fmt.Sprintf("%s on %s", kind, c.path), func(t *testing.T) {
				t.Parallel()
				r := newRig(t, stripesim.Fault{Kind: kind, Method: http.MethodPost, Path: c.path, Count: 1})
				r.push()
				r.want(c.product, 10)
				o := r.applied("mug", 10)
				require.Empty(t,
					catalog.Diff(
						&catalogv1.ProductChange{
							Operation: catalogv1.Operation_OPERATION_UPSERT,
							ProductId: "mug",
							Product:   c.product,
						}, o))
				active, archived := r.prices("mug")
				require.Equal(t, 1, active)
				require.Zero(t, archived)
				faults, err := r.admin.Faults(t.Context())
				require.NoError(t, err)
				require.Equal(t, 1, faults[0].Hits, "the fault has struck")
			})
		}
	}
}

func TestPush_RereadsBeforeALaterStateAfterALostAnswer(t *testing.T) {
	t.Parallel()
	for path, product := range map[string]func(name, amount string) *catalogv1.Product{
		"/v1/products": mug,
		"/v1/prices":   pack,
	} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, stripesim.Fault{
				Kind:   stripesim.FaultResponseLost,
				Method: http.MethodPost,
				Path:   path,
				Count:  1,
			})
			stop := r.push()
			r.want(product("Mug", "1400"), 10)
			require.Eventually(t, func() bool {
				active, _ := r.prices("mug")
				return active == 1 && len(r.observed("mug").GetPrices()) == 0 && r.observed("mug").GetClaim() == nil
			}, patience, 5*time.Millisecond, "created in Stripe without an event")
			stop()
			r.want(product("Mug", "1600"), 20)
			r.push()
			r.applied("mug", 20)
			active, archived := r.prices("mug")
			require.Equal(t, 1, active)
			require.Equal(t, 1, archived, "the price of the lost answer was found and archived")
		})
	}
}

func TestPush_CreatesAProductWithItsDefaultPrice(t *testing.T) {
	r := newRig(t)
	r.push()
	p := mug("Mug", "1400")
	p.MarketingFeatures = []*catalogv1.MarketingFeature{{Name: "Keeps warm"}}
	p.Prices[0].Nickname, p.Prices[0].Metadata = "List", map[string]string{"size": "L"}
	p.Prices[0].CurrencyOptions = map[string]*catalogv1.CurrencyOption{"usd": {UnitAmount: "1500"}}
	r.want(p, 10)
	o := r.applied("mug", 10)
	require.Equal(t, map[string]int{"POST /v1/products": 1, "POST /v1/prices/{price}": 1}, r.calls())
	require.Equal(t, "Keeps warm", o.GetProduct().GetMarketingFeatures()[0].GetName())
	require.Len(t, o.GetPrices(), 1)
	price := o.GetPrices()[0]
	require.Equal(t, o.GetProduct().GetDefaultPrice(), price.GetStripeId())
	require.Equal(t, "1500", price.GetPrice().GetCurrencyOptions()["usd"].GetUnitAmount())
	require.Equal(t, []string{catalog.PriceMarker, "size"}, price.GetManagedMetadata())

	held, err := r.stripe.Prices.Get(price.GetStripeId(), nil)
	require.NoError(t, err)
	require.Equal(t, "mug-one", held.LookupKey)
	require.Equal(t, "List", held.Nickname)
	require.Equal(t, map[string]string{catalog.PriceMarker: "mug-one", "size": "L"}, held.Metadata)

	confirms := map[string]string{}
	events := r.stripe.Events.List(&stripe.EventListParams{})
	for events.Next() {
		confirms[string(events.Event().Type)] = catalog.FindIntent(o, events.Event().Request.IdempotencyKey).GetStep()
	}
	require.NoError(t, events.Err())
	require.Equal(t, map[string]string{
		"product.created": "create product mug with price mug-one",
		"price.created":   "create product mug with price mug-one",
		"price.updated":   "update price mug-one",
	}, confirms, "all of them are echoes")
}

func TestPush_RecordsManagedMetadataOfACreatedProduct(t *testing.T) {
	r := newRig(t, stripesim.Fault{
		Kind:   stripesim.FaultUnavailable,
		Method: http.MethodPost,
		Path:   "/v1/prices/{price}",
		Count:  1,
	})
	stop := r.push()
	p := mug("Mug", "1400")
	p.Prices[0].Metadata = map[string]string{"size": "L"}
	r.want(p, 10)
	require.Eventually(t, func() bool {
		o := r.observed("mug")
		return len(o.GetPrices()) == 1 && o.GetClaim() == nil
	}, patience, 5*time.Millisecond, "created, and not completed")
	stop()
	r.want(mug("Mug", "1400"), 20)
	r.push()
	o := r.applied("mug", 20)
	held, err := r.stripe.Prices.Get(o.GetPrices()[0].GetStripeId(), nil)
	require.NoError(t, err)
	require.Equal(t, map[string]string{catalog.PriceMarker: "mug-one"}, held.Metadata)
	require.Equal(t, "mug-one", held.LookupKey)
}

// unexpanded makes Stripe answer with ids where the request expands objects.
type unexpanded struct{}

func (unexpanded) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method == http.MethodPost {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return nil, err
		}
		maps.DeleteFunc(form, func(name string, _ []string) bool { return strings.HasPrefix(name, "expand") })
		written := form.Encode()
		req = req.Clone(req.Context())
		req.Body, req.ContentLength = io.NopCloser(strings.NewReader(written)), int64(len(written))
	}
	return http.DefaultTransport.RoundTrip(req)
}

func TestPush_RereadsAPriceThatTheAnswerLacks(t *testing.T) {
	r := newRig(t, stripesim.Fault{
		Kind:   stripesim.FaultLockTimeout,
		Method: http.MethodPost,
		Path:   "/v1/prices/{price}",
		Count:  1,
	})
	cfg := r.config(key)
	cfg.Stripe.Transport = unexpanded{}
	r.run(func(ctx context.Context) error { return push.Run(ctx, cfg) })
	r.want(mug("Mug", "1400"), 10)
	r.applied("mug", 10)
	active, archived := r.prices("mug")
	require.Equal(t, 1, active)
	require.Zero(t, archived)
}

func TestPush_TakesOverAnExistingProduct(t *testing.T) {
	r := newRig(t)
	_, err := r.stripe.Products.New(&stripe.ProductParams{
		ID:       stripe.String("mug"),
		Name:     stripe.String("Theirs"),
		Metadata: map[string]string{"theirs": "1"},
	})
	require.NoError(t, err)
	r.push()
	r.want(mug("Mug", "1400"), 10)
	r.applied("mug", 10)
	p, err := r.stripe.Products.Get("mug", nil)
	require.NoError(t, err)
	require.Equal(t, "Mug", p.Name)
	require.Equal(t, map[string]string{"theirs": "1"}, p.Metadata)
}

func TestClaim_RereadsAfterThePreviousPushDied(t *testing.T) {
	r := newRig(t)
	stop := r.push()
	r.want(mug("Mug", "1400"), 10)
	r.applied("mug", 10)
	stop()
	// A push was killed after its call and before it could record the answer.
	price, err := r.stripe.Prices.New(&stripe.PriceParams{
		Product: stripe.String("mug"), Currency: stripe.String("eur"), UnitAmount: stripe.Int64(1600),
		LookupKey:         stripe.String("mug-one"),
		TransferLookupKey: stripe.Bool(true), Metadata: map[string]string{catalog.PriceMarker: "mug-one"},
	})
	require.NoError(t, err)
	_, err = r.stores.Observed().Update(t.Context(), "default", "mug", func(o *catalogv1.Observed) error {
		o.Claim = &catalogv1.Claim{Holder: "the dead", Until: timestamppb.New(time.Now().Add(time.Second)), Version: 20}
		catalog.RecordIntents(o, &catalogv1.Intent{
			IdempotencyKey: "driftless-dead",
			Generation:     o.GetGeneration(),
			At:             timestamppb.Now(),
			Version:        20,
		})
		return nil
	})
	require.NoError(t, err)
	r.push()
	r.want(mug("Mug", "1600"), 20)
	o := r.applied("mug", 20)
	require.Equal(t, price.ID, o.GetProduct().GetDefaultPrice(), "the dead one's price is used")
	active, archived := r.prices("mug")
	require.Equal(t, 1, active)
	require.Equal(t, 1, archived)
}

func TestClaim_KeepsReplicasOffEachOthersProducts(t *testing.T) {
	r := newRig(t, stripesim.Fault{Kind: stripesim.FaultLatency, Method: http.MethodPost, Delay: 5 * time.Millisecond})
	for range 3 {
		r.push()
	}
	const products, edits = 8, 20
	for version := range uint64(edits) {
		for i := range products {
			p := mug(fmt.Sprintf("Edition %d", version), fmt.Sprint(1000+version))
			p.Id = fmt.Sprintf("mug%d", i)
			p.DefaultPrice, p.Prices[0].Id = p.GetId()+"-one", p.GetId()+"-one"
			r.want(p, version+1)
		}
	}
	for i := range products {
		r.applied(fmt.Sprintf("mug%d", i), edits)
		active, _ := r.prices(fmt.Sprintf("mug%d", i))
		require.Equal(t, 1, active)
	}
	stats, err := r.admin.Stats(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, stats.MaxInFlight["product"], "two calls about one product at a time: %v", stats.Contended)
}

func TestRefusal_DeadLettersOnlyTheRefusedChange(t *testing.T) {
	r := newRig(t)
	r.push()
	p := mug("Mug", "1400")
	p.TaxCode = "no such code"
	r.want(p, 10)
	stream, err := r.mesh.JetStream().Stream(t.Context(), topology.StreamDead)
	require.NoError(t, err)
	letter := &meshv1.DeadLetter{}
	require.Eventually(t, func() bool {
		msg, err := stream.GetLastMsgForSubject(t.Context(), topology.DeadSubject(topology.Push, "default", "mug"))
		return err == nil && proto.Unmarshal(msg.Data, letter) == nil
	}, patience, 10*time.Millisecond)
	require.Equal(t, topology.ReasonRefused, letter.GetReason())
	require.Equal(t, "tax_code", letter.GetField())
	require.NotEmpty(t, letter.GetStripeRequestId())
	require.NotEmpty(t, letter.GetPayload())
	r.want(mug("Mug", "1400"), 20)
	r.applied("mug", 20)
}

func TestHalt_KeepsTheQueueWhenTheKeyIsRefused(t *testing.T) {
	r := newRig(t)
	stop := r.run(func(ctx context.Context) error { return push.Run(ctx, r.config(readOnly)) })
	r.want(mug("Mug", "1400"), 10)
	require.Eventually(t, func() bool {
		stats, err := r.admin.Stats(t.Context())
		return err == nil && stats.Endpoints["POST /v1/products"].Statuses[http.StatusForbidden] > 0
	}, patience, 10*time.Millisecond)
	halted := func() string {
		reason, err := r.stores.Halted("default").GetString(t.Context())
		require.NoError(t, err)
		return reason
	}
	require.Eventually(t, func() bool { return halted() != "" }, patience, 10*time.Millisecond)
	for i := range 20 {
		p := mug("Mug", "1400")
		p.Id = fmt.Sprintf("mug-%d", i)
		r.want(p, 10)
	}
	before, err := r.admin.Stats(t.Context())
	require.NoError(t, err)
	localtest.Holds(t, 2*time.Second, func() bool {
		now, err := r.admin.Stats(t.Context())
		require.NoError(t, err)
		return now.Endpoints["POST /v1/products"].Requests == before.Endpoints["POST /v1/products"].Requests
	}, "the queue is not worn out")
	stop()
	stream, err := r.mesh.JetStream().Stream(t.Context(), topology.StreamDead)
	require.NoError(t, err)
	info, err := stream.Info(t.Context())
	require.NoError(t, err)
	require.Zero(t, info.State.Msgs, "nothing is given up")
	r.push()
	r.applied("mug", 10)
	r.applied("mug-19", 10)
	require.Eventually(t, func() bool { return halted() == "" }, patience, 10*time.Millisecond)
}

func TestRetry_LongDelaysLeaveTheConsumer(t *testing.T) {
	r := newRig(t, stripesim.Fault{Kind: stripesim.FaultUnavailable, Method: http.MethodPost, Object: "mug", Count: 1})
	r.want(mug("Mug", "1400"), 10)
	// Five attempts have failed, the last in another process.
	retry := &meshv1.Retry{Account: "default", ProductId: "mug", Version: 10, Attempts: 5, Lane: "live"}
	require.NoError(t, r.mesh.RetryLater(t.Context(), topology.Push, retry, 0))
	cons, err := r.mesh.JetStream().Consumer(t.Context(), topology.PushLive.Stream,
		topology.PushLive.Durable("default"))
	require.NoError(t, err)
	require.NoError(t, r.mesh.Pause(t.Context(), time.Hour, topology.PushLive))
	r.push()
	require.Eventually(t, func() bool {
		retrying, err := r.mesh.Retrying(t.Context(), topology.Push, "default", "mug")
		faults, adminErr := r.admin.Faults(t.Context())
		return err == nil && retrying && adminErr == nil && faults[0].Hits == 1
	}, patience, 20*time.Millisecond, "the sixth failure waits on RETRY")
	info, err := cons.Info(t.Context())
	require.NoError(t, err)
	require.Zero(t, info.NumAckPending)
	// A later state of the same product replaces the earlier one.
	require.NoError(t, r.mesh.RetryLater(t.Context(), topology.Push, retry, 0))
	r.applied("mug", 10)
	require.Eventually(t, func() bool {
		retrying, err := r.mesh.Retrying(t.Context(), topology.Push, "default", "mug")
		return err == nil && !retrying
	}, patience, 20*time.Millisecond)
}

func TestCommand_SyncsADriftedProduct(t *testing.T) {
	r := newRig(t)
	r.push()
	r.want(mug("Mug", "1400"), 10)
	r.applied("mug", 10)
	require.NoError(t, r.admin.EditProduct(t.Context(), "mug", map[string][]string{"name": {"By hand"}}))
	command := &meshv1.Command{
		Id:      "o1",
		Account: "default",
		Verb:    &meshv1.Command_Sync{Sync: &meshv1.SyncProduct{ProductId: "mug", Look: true}},
	}
	require.NoError(t,
		r.mesh.Publish(t.Context(), topology.CommandSubject(topology.Push, "default", topology.VerbSync, "mug"),
			command))
	require.Eventually(t, func() bool {
		p, err := r.stripe.Products.Get("mug", nil)
		return err == nil && p.Name == "Mug"
	}, patience, 10*time.Millisecond)
}

func TestRun_FailsOnBadSettings(t *testing.T) {
	r := newRig(t)
	cfg := r.config("pk_test_publishable")
	require.ErrorContains(t, push.Run(t.Context(), cfg), "STRIPE_API_KEY must be a secret key")
	stop := r.push()
	r.want(mug("Mug", "1400"), 10)
	r.applied("mug", 10)
	stop()
	require.ErrorContains(t, push.Run(t.Context(), r.config("sk_live_x")), "was set up in test mode: set a test key")
	cfg = r.config(key)
	cfg.NATS.URL = "nats://127.0.0.1:1"
	require.ErrorContains(t, push.Run(t.Context(), cfg), "cannot reach NATS")
}

func TestRun_EndsWhenTheConnectionIsClosed(t *testing.T) {
	r := newRig(t)
	line := localtest.LineTo(t, r.nats)
	cfg := r.config(key)
	cfg.NATS.InProcess = line
	done := make(chan error, 1)
	go func() { done <- push.Run(t.Context(), cfg) }()
	r.want(mug("Mug", "1400"), 10)
	r.applied("mug", 10)
	line.Abuse(t)
	require.ErrorContains(t, <-done, "the connection to NATS was closed for good")
}

func TestRun_KeepsAccountsApart(t *testing.T) {
	r := newRig(t)
	require.NoError(t,
		topology.Apply(t.Context(), r.mesh.JetStream(), topology.Options{Accounts: []string{"default", "other"}}))
	r.push()
	r.run(func(ctx context.Context) error {
		cfg := r.config(otherKey)
		cfg.Account = "other"
		return push.Run(ctx, cfg)
	})
	r.want(mug("Ours", "1400"), 10)
	theirs := mug("Theirs", "900")
	require.NoError(t,
		r.mesh.Publish(t.Context(), topology.CatalogSubject("other", topology.Live, "mug"), &catalogv1.ProductChange{
			Account: "other", ProductId: "mug", Version: 20, Operation: catalogv1.Operation_OPERATION_UPSERT,
			Product: theirs,
		}, mesh.WithVersion(20)))
	r.applied("mug", 10)
	require.Eventually(t, func() bool {
		o, _, err := r.stores.Observed().Get(t.Context(), "other", "mug")
		return err == nil && o.GetVersion() == 20 && o.GetProduct().GetName() == "Theirs"
	}, patience, 10*time.Millisecond)
	p, err := r.stripe.Products.Get("mug", nil)
	require.NoError(t, err)
	require.Equal(t, "Ours", p.Name)
	require.EqualValues(t, 10, r.observed("mug").GetVersion())
}

// TestPush_AcceptsUnseenChangesByOthers: an answer shows an earlier change by another party that no event has reported.
// The call did not cause it.
func TestPush_AcceptsUnseenChangesByOthers(t *testing.T) {
	r := newRig(t)
	r.push()
	r.want(mug("Mug", "1400"), 1)
	r.applied("mug", 1)
	_, err := r.stripe.Products.Update("mug", &stripe.ProductParams{Description: stripe.String("by hand")})
	require.NoError(t, err)
	r.want(mug("Mug XL", "1400"), 2)
	require.Equal(t, "by hand", r.applied("mug", 2).GetProduct().GetDescription(),
		"it is seen now, for the ledger to tell of")
	letters, err := r.mesh.LastSequence(t.Context(), topology.StreamDead)
	require.NoError(t, err)
	require.Zero(t, letters, "nothing is refused")
	r.command(&meshv1.SyncProduct{ProductId: "mug", Look: true})
	require.Eventually(t, r.description(""), patience, 20*time.Millisecond)
}
