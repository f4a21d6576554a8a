package stripesim_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/client"
	"github.com/stripe/stripe-go/v76/webhook"

	"github.com/driftless-sync/driftless/services/stripesim"
)

// stripeGo returns Stripe's own client, connected to the simulator.
func (h *harness) stripeGo(retries int64) *client.API {
	h.t.Helper()
	backend := stripe.GetBackendWithConfig(stripe.APIBackend, &stripe.BackendConfig{
		URL: stripe.String(h.url), HTTPClient: h.http, MaxNetworkRetries: stripe.Int64(retries),
		EnableTelemetry: stripe.Bool(false), LeveledLogger: &stripe.LeveledLogger{Level: stripe.LevelNull},
	})
	api := &client.API{}
	api.Init(testKey, &stripe.Backends{API: backend, Connect: backend, Uploads: backend})
	return api
}

// The test follows the life of a product and its prices in a program with stripe-go.
func TestStripeGo_ReplacesPrice(t *testing.T) {
	t.Parallel()
	h := start(t, stripesim.Config{})
	api := h.stripeGo(0)
	params := &stripe.ProductParams{
		ID: stripe.String("lamp"), Name: stripe.String("Lamp"), Metadata: map[string]string{"colour": "red"},
		Features: []*stripe.ProductFeatureParams{{Name: stripe.String("Warm")}},
		Images:   stripe.StringSlice([]string{"https://example.com/1.png"}),
		DefaultPriceData: &stripe.ProductDefaultPriceDataParams{
			Currency: stripe.String("usd"), UnitAmount: stripe.Int64(1000),
			Recurring: &stripe.ProductDefaultPriceDataRecurringParams{Interval: stripe.String("month")},
		},
	}
	params.SetIdempotencyKey("driftless-1")
	lamp, err := api.Products.New(params)
	require.NoError(t, err)
	require.Equal(t, "Warm", lamp.Features[0].Name)
	require.Equal(t, "driftless-1", lamp.LastResponse.Header.Get("Idempotency-Key"))
	require.Regexp(t, "^req_", lamp.LastResponse.RequestID)

	again, err := api.Products.New(params)
	require.NoError(t, err)
	require.Equal(t, "true", again.LastResponse.Header.Get("Idempotent-Replayed"))
	require.Equal(t, lamp.LastResponse.RawJSON, again.LastResponse.RawJSON)

	price, err := api.Prices.New(&stripe.PriceParams{
		Product: stripe.String("lamp"), Currency: stripe.String("usd"), UnitAmount: stripe.Int64(1200),
		LookupKey: stripe.String("lamp"),
		Recurring: &stripe.PriceRecurringParams{Interval: stripe.String("month")},
	})
	require.NoError(t, err)
	_, err = api.Prices.Update(lamp.DefaultPrice.ID, &stripe.PriceParams{Active: stripe.Bool(false)})
	var refused *stripe.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, http.StatusBadRequest, refused.HTTPStatusCode)
	_, err = api.Products.Update("lamp", &stripe.ProductParams{DefaultPrice: stripe.String(price.ID)})
	require.NoError(t, err)
	_, err = api.Prices.Update(lamp.DefaultPrice.ID, &stripe.PriceParams{Active: stripe.Bool(false)})
	require.NoError(t, err)

	var listed []string
	for it := api.Prices.List(&stripe.PriceListParams{Product: stripe.String("lamp")}); it.Next(); {
		listed = append(listed, it.Price().ID)
	}
	require.Equal(t, []string{price.ID}, listed)
	_, err = api.Products.Update("lamp", &stripe.ProductParams{
		Images: []*string{}, DefaultPrice: stripe.String(""), Metadata: map[string]string{"colour": ""},
		Params: stripe.Params{},
	})
	require.NoError(t, err)
	lamp, err = api.Products.Get("lamp", nil)
	require.NoError(t, err)
	require.Nil(t, lamp.DefaultPrice)
	require.Empty(t, lamp.Images)
	require.Empty(t, lamp.Metadata)

	mug, err := api.Products.New(&stripe.ProductParams{Name: stripe.String("Mug")})
	require.NoError(t, err)
	gone, err := api.Products.Del(mug.ID, nil)
	require.NoError(t, err)
	require.True(t, gone.Deleted)
	_, err = api.Products.Get(mug.ID, nil)
	require.ErrorAs(t, err, &refused)
	require.Equal(t, stripe.ErrorCodeResourceMissing, refused.Code)
}

func TestStripeGo_ReadsMissedEvents(t *testing.T) {
	t.Parallel()
	h := start(t, stripesim.Config{})
	api := h.stripeGo(0)
	for range 25 {
		_, err := api.Products.New(&stripe.ProductParams{Name: stripe.String("Lamp")})
		require.NoError(t, err)
	}
	all := api.Events.List(&stripe.EventListParams{ListParams: stripe.ListParams{Limit: stripe.Int64(7)}})
	var latestFirst []string
	for all.Next() {
		latestFirst = append(latestFirst, all.Event().ID)
	}
	require.NoError(t, all.Err())
	require.Len(t, latestFirst, 25)

	// Stripe's documentation recommends reading from the oldest event on after a webhook endpoint missed some.
	since := &stripe.EventListParams{Types: stripe.StringSlice([]string{"product.created", "price.created"})}
	since.EndingBefore, since.Limit = stripe.String(latestFirst[24]), stripe.Int64(5)
	var oldestFirst []string
	it := api.Events.List(since)
	for it.Next() {
		oldestFirst = append(oldestFirst, it.Event().ID)
	}
	require.NoError(t, it.Err())
	require.Len(t, oldestFirst, 24)
	for i, id := range oldestFirst {
		require.Equal(t, latestFirst[23-i], id)
	}

	since.EndingBefore = stripe.String("evt_forgotten")
	it = api.Events.List(since)
	require.False(t, it.Next())
	var refused *stripe.Error
	require.ErrorAs(t, it.Err(), &refused)
	require.Equal(t, "ending_before", refused.Param)
	require.Equal(t, http.StatusBadRequest, refused.HTTPStatusCode)
}

func TestStripeGo_VerifiesWebhooks(t *testing.T) {
	t.Parallel()
	in := newInbox(t)
	h := start(t,
		stripesim.Config{Webhooks: []stripesim.Webhook{{URL: in.url, Secrets: []string{"whsec_new", "whsec_old"}}}})
	api := h.stripeGo(0)
	params := &stripe.ProductParams{ID: stripe.String("lamp"), Name: stripe.String("Lamp")}
	params.SetIdempotencyKey("driftless-7")
	_, err := api.Products.New(params)
	require.NoError(t, err)
	eventually(t, func() bool { return len(in.all()) == 1 }, "the event is delivered")
	l := in.all()[0]
	for _, secret := range []string{"whsec_new", "whsec_old"} {
		e, err := webhook.ConstructEvent(l.body, l.signature, secret)
		require.NoError(t, err)
		require.Equal(t, stripe.EventTypeProductCreated, e.Type)
		require.Equal(t, "driftless-7", e.Request.IdempotencyKey)
	}
	_, err = webhook.ConstructEvent(l.body, l.signature, "whsec_other")
	require.ErrorIs(t, err, webhook.ErrNoValidSignature)
	_, err = webhook.ConstructEvent(append(l.body, ' '), l.signature, "whsec_new")
	require.ErrorIs(t, err, webhook.ErrNoValidSignature)
}

// Idempotency keys exist for lost answers: stripe-go retries with the same key.
func TestStripeGo_RetriesLostAnswer(t *testing.T) {
	t.Parallel()
	h := start(t, stripesim.Config{Faults: []stripesim.Fault{{Kind: stripesim.FaultResponseLost, Count: 1}}})
	p, err := h.stripeGo(1).Products.New(&stripe.ProductParams{Name: stripe.String("Lamp")})
	require.NoError(t, err)
	require.Equal(t, "true", p.LastResponse.Header.Get("Idempotent-Replayed"))
	require.Equal(t, []string{"product.created"}, h.events())
}

func TestStripeGo_SeesRateLimits(t *testing.T) {
	t.Parallel()
	clock := newClock()
	h := start(t, stripesim.Config{Clock: clock.now, Limits: stripesim.Limits{PerSecond: 1}})
	api := h.stripeGo(0)
	_, err := api.Products.New(&stripe.ProductParams{Name: stripe.String("Lamp")})
	require.NoError(t, err)
	_, err = api.Products.New(&stripe.ProductParams{Name: stripe.String("Mug")})
	var refused *stripe.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, stripe.ErrorCodeRateLimit, refused.Code)
	require.Equal(t, "global-rate", refused.LastResponse.Header.Get("Stripe-Rate-Limited-Reason"))
}
