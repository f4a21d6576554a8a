package stripesim_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/webhook"

	"github.com/driftless-sync/driftless/services/stripesim"
)

func TestWebhooks_AreSignedAndRetried(t *testing.T) {
	t.Parallel()
	in := newInbox(t)
	in.statuses = []int{500, 302, 200}
	h := start(t, stripesim.Config{
		Webhooks:          []stripesim.Webhook{{URL: in.url, Secrets: []string{"whsec_old", "whsec_new"}}},
		WebhookFirstRetry: time.Millisecond,
	})
	h.create("/v1/products", "id", "lamp", "name", "Lamp")
	eventually(t, func() bool { return len(in.all()) == 3 }, "two failures and a success")
	for _, l := range in.all() {
		for _, secret := range []string{"whsec_old", "whsec_new"} {
			e, err := webhook.ConstructEvent(l.body, l.signature, secret)
			require.NoError(t, err)
			require.Equal(t, "product.created", string(e.Type))
		}
		_, err := webhook.ConstructEvent(l.body, l.signature, "whsec_other")
		require.ErrorIs(t, err, webhook.ErrNoValidSignature)
		require.Equal(t, in.all()[0].event["id"], l.event["id"])
	}
	eventually(t, func() bool { return h.sim.Stats().Webhooks.Pending == 0 }, "delivered")
	require.Equal(t, stripesim.WebhookStats{Delivered: 1, FailedAttempts: 2}, h.sim.Stats().Webhooks)
	require.Equal(t, number("0"), h.lastEvent()["pending_webhooks"])
}

func TestWebhooks_AreGivenUp(t *testing.T) {
	t.Parallel()
	in := newInbox(t)
	in.statuses = slices.Repeat([]int{500}, 1000)
	h := start(t, stripesim.Config{
		Webhooks: []stripesim.Webhook{{
			URL:     in.url,
			Secrets: []string{"whsec_1"},
			Events:  []string{"product.*"},
		}},
		WebhookFirstRetry: time.Millisecond, WebhookGiveUp: 20 * time.Millisecond,
	})
	h.create("/v1/products", "id", "lamp", "name", "Lamp")
	require.Empty(t, h.get("/v1/events", "delivery_success", "true").ok().ids())
	eventually(t, func() bool { return h.sim.Stats().Webhooks.GivenUp == 1 }, "given up")
	h.create("/v1/prices", "product", "lamp", "currency", "usd", "unit_amount", "1")
	require.Len(t, h.get("/v1/events", "delivery_success", "false").ok().ids(), 1)
	require.Len(t, h.get("/v1/events", "delivery_success", "true").ok().ids(), 1, "no endpoint subscribes to the price")
}

func TestWebhooks_Registered(t *testing.T) {
	t.Parallel()
	old, recent := newInbox(t), newInbox(t)
	h := start(t, stripesim.Config{})
	made := h.post("/v1/webhook_endpoints", "url", old.url, "enabled_events[]", "product.updated", "description",
		"mine", "metadata[k]", "v").ok()
	secret, id := made.text("secret"), made.text("id")
	require.Regexp(t, "^whsec_", secret)
	require.NotContains(t, h.get("/v1/webhook_endpoints/"+id).ok().body, "secret", "shown once")
	h.post("/v1/webhook_endpoints", "url", recent.url, "enabled_events[]", "*", "api_version", "2026-08-26.dahlia").ok()

	h.create("/v1/products", "id", "lamp", "name", "Lamp", "features[0][name]", "Warm")
	h.post("/v1/products/lamp", "features[0][name]", "Cold").ok()
	eventually(t, func() bool { return len(old.all()) == 1 && len(recent.all()) == 2 }, "delivered")
	e, err := webhook.ConstructEvent(old.all()[0].body, old.all()[0].signature, secret)
	require.NoError(t, err)
	require.Contains(t, e.Data.Object, "features")
	require.Contains(t, e.Data.PreviousAttributes, "features")
	l := recent.all()[slices.Index(recent.types(), "product.updated")]
	require.Equal(t, "2026-08-26.dahlia", text(l.event, "api_version"), "each endpoint has its own version")
	data, _ := l.event["data"].(map[string]any)
	for _, part := range []string{"object", "previous_attributes"} {
		require.Contains(t, data[part], "marketing_features")
		require.NotContains(t, data[part], "features")
	}

	h.post("/v1/webhook_endpoints/"+id, "disabled", "true", "description", "", "enabled_events[]", "*").ok()
	require.Equal(t, "disabled", h.get("/v1/webhook_endpoints/"+id).ok().text("status"))
	h.post("/v1/products/lamp", "name", "Lantern").ok()
	eventually(t, func() bool { return len(recent.all()) == 3 }, "delivered to the other")
	require.Len(t, old.all(), 1)
	require.Len(t, h.get("/v1/webhook_endpoints").ok().list(), 2)
	require.Equal(t, true, h.ask(http.MethodDelete, "/v1/webhook_endpoints/"+id, nil).ok().at("deleted"))
	h.get("/v1/webhook_endpoints/"+id).requireRefused(http.StatusNotFound, "resource_missing", "webhook_endpoint",
		"No such webhook endpoint")
	h.post("/v1/webhook_endpoints", "url", "nowhere", "enabled_events[]", "*").requireRefused(http.StatusBadRequest,
		"url_invalid", "url", "Not a valid URL")
	h.post("/v1/webhook_endpoints", "url", old.url).requireRefused(http.StatusBadRequest, "parameter_missing",
		"enabled_events", "Missing")
	for range 15 {
		h.post("/v1/webhook_endpoints", "url", old.url, "enabled_events[]", "coupon.created").ok()
	}
	h.post("/v1/webhook_endpoints", "url", old.url, "enabled_events[]", "*").requireRefused(http.StatusBadRequest, "",
		"",
		"maximum of 16")
}

func TestWebhooks_Connect(t *testing.T) {
	t.Parallel()
	own, connect := newInbox(t), newInbox(t)
	h := start(t, stripesim.Config{Webhooks: []stripesim.Webhook{
		{URL: own.url, Secrets: []string{"whsec_1"}}, {URL: connect.url, Secrets: []string{"whsec_2"}, Connect: true},
	}})
	h.ask(http.MethodPost, "/v1/products", form("id", "lamp", "name", "Lamp"), "Stripe-Account", "acct_other").ok()
	eventually(t, func() bool { return len(connect.all()) == 1 }, "delivered to the platform")
	require.Equal(t, "acct_other", text(connect.all()[0].event, "account"))
	h.create("/v1/products", "id", "desk", "name", "Desk")
	eventually(t, func() bool { return len(own.all()) == 1 }, "delivered to the own endpoint")
	require.NotContains(t, own.all()[0].event, "account")
	require.Len(t, connect.all(), 1)
	h.get("/v1/products/lamp").requireRefused(http.StatusNotFound, "resource_missing", "id", "No such product")
	eventually(t, func() bool { return h.sim.Stats().Webhooks.Pending == 0 }, "deliveries are pending")
}

func TestFaults_OfWebhooks(t *testing.T) {
	t.Parallel()
	in := newInbox(t)
	h := start(t, stripesim.Config{Webhooks: []stripesim.Webhook{{URL: in.url, Secrets: []string{"whsec_1"}}}})
	fault := func(f stripesim.Fault) {
		f.Count = 1
		_, err := h.sim.AddFault(f)
		require.NoError(t, err)
	}
	fault(stripesim.Fault{Kind: stripesim.FaultWebhookLost, Object: "lost"})
	h.create("/v1/products", "id", "lost", "name", "x")
	eventually(t, func() bool { return h.sim.Stats().Webhooks.Lost == 1 }, "lost")
	require.Equal(t, []string{"lost"}, objects(h.get("/v1/events", "delivery_success", "false").ok().list()),
		"but in the list of events")

	fault(stripesim.Fault{Kind: stripesim.FaultWebhookDuplicated, Event: "product.*"})
	h.create("/v1/products", "id", "twice", "name", "x")
	eventually(t, func() bool { return len(in.all()) == 2 }, "twice")
	require.Equal(t, in.all()[0].event["id"], in.all()[1].event["id"])

	fault(stripesim.Fault{Kind: stripesim.FaultWebhookReordered, Delay: time.Hour})
	h.create("/v1/products", "id", "overtaken", "name", "x")
	eventually(t, func() bool { return h.sim.Faults()[2].Hits == 1 }, "held")
	h.create("/v1/products", "id", "overtaking", "name", "x")
	eventually(t, func() bool { return len(in.all()) == 4 }, "both")
	require.Equal(t, []string{"twice", "twice", "overtaking", "overtaken"}, letterObjects(in))

	fault(stripesim.Fault{Kind: stripesim.FaultWebhookDelayed, Delay: 30 * time.Millisecond})
	begun := time.Now()
	h.create("/v1/products", "id", "late", "name", "x")
	eventually(t, func() bool { return len(in.all()) == 5 }, "late")
	require.GreaterOrEqual(t, time.Since(begun), 30*time.Millisecond)
	eventually(t, func() bool { return h.sim.Stats().Webhooks.Pending == 0 }, "deliveries are pending")
}

func objects(events []map[string]any) []string {
	var out []string
	for _, e := range events {
		out = append(out, text(e, "data", "object", "id"))
	}
	return out
}

func letterObjects(in *inbox) []string {
	var out []map[string]any
	for _, l := range in.all() {
		out = append(out, l.event)
	}
	return objects(out)
}

func TestSign(t *testing.T) {
	t.Parallel()
	body := []byte(`{"id":"evt_1","object":"event","api_version":"` + stripe.APIVersion + `"}`)
	now := time.Now()
	_, err := webhook.ConstructEvent(body, stripesim.Sign(body, now, "whsec_1"), "whsec_1")
	require.NoError(t, err)
	_, err = webhook.ConstructEvent(body, stripesim.Sign(body, now.Add(-6*time.Minute), "whsec_1"), "whsec_1")
	require.ErrorIs(t, err, webhook.ErrTooOld)
	_, err = webhook.ConstructEvent(append(body, ' '), stripesim.Sign(body, now, "whsec_1"), "whsec_1")
	require.ErrorIs(t, err, webhook.ErrNoValidSignature)
}

// TestFaults_EarlierDeliveryDoesNotOvertakeAHeldOne: only a webhook that is sent while another waits overtakes it.
func TestFaults_EarlierDeliveryDoesNotOvertakeAHeldOne(t *testing.T) {
	t.Parallel()
	arrived, answer := make(chan string, 8), make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var e map[string]any
		assert.NoError(t, json.NewDecoder(r.Body).Decode(&e))
		id := text(e, "data", "object", "id")
		arrived <- id
		if id == "earlier" {
			<-answer
		}
	}))
	t.Cleanup(slow.Close)
	h := start(t, stripesim.Config{Webhooks: []stripesim.Webhook{{URL: slow.URL, Secrets: []string{"whsec_1"}}}})
	h.create("/v1/products", "id", "earlier", "name", "x")
	require.Equal(t, "earlier", <-arrived)
	_, err := h.sim.AddFault(stripesim.Fault{
		Kind: stripesim.FaultWebhookReordered, Object: "held", Delay: time.Hour, Count: 1,
	})
	require.NoError(t, err)
	h.create("/v1/products", "id", "held", "name", "x")
	eventually(t, func() bool { return h.sim.Faults()[0].Hits == 1 }, "held")
	close(answer)
	eventually(t, func() bool { return h.sim.Stats().Webhooks.Delivered == 1 }, "the earlier one")
	h.create("/v1/products", "id", "later", "name", "x")
	next := func() (id string) {
		// On a busy machine the first delivery may have taken too long, and is repeated.
		for id = "earlier"; id == "earlier"; id = <-arrived {
		}
		return id
	}
	require.Equal(t, []string{"later", "held"}, []string{next(), next()})
}
