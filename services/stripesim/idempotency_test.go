package stripesim_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/stripesim"
)

// keyed posts with an idempotency key.
func (h *harness) keyed(key, path string, pairs ...string) *response {
	h.t.Helper()
	return h.ask(http.MethodPost, path, form(pairs...), "Idempotency-Key", key)
}

func (r *response) replayed() bool { return r.header.Get("Idempotent-Replayed") == "true" }

// The first request is answered with status. The second is replayed or executed.
func TestIdempotency_StoresAnswers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault    *stripesim.Fault
		limits   stripesim.Limits
		path     string
		params   url.Values
		status   int
		replayed bool
		then     int // status of the second answer
	}{
		"success": {
			path:     "/v1/products",
			params:   form("name", "Lamp"),
			status:   200,
			replayed: true,
			then:     200,
		},
		"refused by the state": {
			path:     "/v1/products",
			params:   form("id", "taken", "name", "Lamp"),
			status:   400,
			replayed: true,
			then:     400,
		},
		"nothing there": {
			path:     "/v1/products/none",
			params:   form("name", "Lamp"),
			status:   404,
			replayed: true,
			then:     404,
		},
		"failed before executing": {
			fault:    &stripesim.Fault{Kind: stripesim.FaultErrorBefore},
			path:     "/v1/products",
			params:   form("name", "Lamp"),
			status:   500,
			replayed: true,
			then:     500,
		},
		"failed after executing": {
			fault:    &stripesim.Fault{Kind: stripesim.FaultErrorAfter},
			path:     "/v1/products",
			params:   form("name", "Lamp"),
			status:   500,
			replayed: true,
			then:     500,
		},
		"refused before executing": {path: "/v1/products", params: form("nam", "Lamp"), status: 400, then: 400},
		"refused by its value": {
			path:   "/v1/products",
			params: form("name", "Lamp", "active", "si"),
			status: 400,
			then:   400,
		},
		"rate limit": {
			fault:  &stripesim.Fault{Kind: stripesim.FaultRateLimit},
			path:   "/v1/products",
			params: form("name", "Lamp"),
			status: 429,
			then:   200,
		},
		"lock timeout": {
			fault:  &stripesim.Fault{Kind: stripesim.FaultLockTimeout},
			path:   "/v1/products",
			params: form("name", "Lamp"),
			status: 429,
			then:   200,
		},
		"unavailable": {
			fault:  &stripesim.Fault{Kind: stripesim.FaultUnavailable},
			path:   "/v1/products",
			params: form("name", "Lamp"),
			status: 503,
			then:   200,
		},
		"a bad gateway": {
			fault:  &stripesim.Fault{Kind: stripesim.FaultBadGateway},
			path:   "/v1/products",
			params: form("name", "Lamp"),
			status: 502,
			then:   200,
		},
		"a new webhook endpoint": {
			path:     "/v1/webhook_endpoints",
			params:   form("url", "http://127.0.0.1:1/", "enabled_events[]", "coupon.*"),
			status:   200,
			replayed: true,
			then:     200,
		},
		"a price for unknown product": {
			path:     "/v1/prices",
			params:   form("product", "none", "currency", "usd", "unit_amount", "1"),
			status:   400,
			replayed: true,
			then:     400,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := start(t, stripesim.Config{Limits: c.limits})
			h.create("/v1/products", "id", "taken", "name", "Taken")
			if c.fault != nil {
				c.fault.Count = 1
				_, err := h.sim.AddFault(*c.fault)
				require.NoError(t, err)
			}
			ask := func() *response {
				return h.ask(http.MethodPost, c.path, c.params, "Idempotency-Key", "driftless-1")
			}
			first := ask()
			require.Equal(t, c.status, first.status, "%s", first.raw)
			require.False(t, first.replayed())
			events := len(h.events())
			second := ask()
			require.Equal(t, c.then, second.status, "%s", second.raw)
			require.Equal(t, c.replayed, second.replayed())
			if c.replayed {
				require.Equal(t, first.raw, second.raw)
				require.Equal(t, first.header.Get("Request-Id"), second.header.Get("Original-Request"))
				require.NotEqual(t, first.header.Get("Request-Id"), second.header.Get("Request-Id"))
				require.Equal(t, "driftless-1", second.header.Get("Idempotency-Key"))
				require.Len(t, h.events(), events, "a replay executes nothing")
			}
		})
	}
}

func TestFaults_ErrorAfterExecutes(t *testing.T) {
	t.Parallel()
	h := start(t,
		stripesim.Config{
			Faults: []stripesim.Fault{
				{Kind: stripesim.FaultErrorAfter, Object: "lamp", Count: 1},
				{Kind: stripesim.FaultErrorBefore, Object: "mug", Count: 1},
			},
		})
	h.keyed("k1", "/v1/products", "id", "lamp", "name", "Lamp").requireRefused(http.StatusInternalServerError, "", "",
		"unknown error")
	h.keyed("k2", "/v1/products", "id", "mug", "name", "Mug").requireRefused(http.StatusInternalServerError, "", "",
		"unknown error")
	h.get("/v1/products/lamp").ok()
	h.get("/v1/products/mug").requireRefused(http.StatusNotFound, "resource_missing", "id", "No such product")
	require.Equal(t, []string{"product.created"}, h.events())
	request, _ := h.lastEvent()["request"].(map[string]any)
	require.Equal(t, "k1", request["idempotency_key"])
}

func TestIdempotency_RefusesKeyOfAnotherRequest(t *testing.T) {
	t.Parallel()
	clock := newClock()
	h := start(t, stripesim.Config{Clock: clock.now})
	p := h.keyed("k", "/v1/products", "name", "Lamp", "description", "x").ok()

	require.True(t, h.keyed("k", "/v1/products", "description", "x", "name", "Lamp").ok().replayed(),
		"the order of parameters does not matter")
	r := h.keyed("k", "/v1/products", "name", "Mug").requireRefused(http.StatusBadRequest, "", "", "same parameters")
	require.Equal(t, "idempotency_error", r.text("error", "type"))
	r = h.keyed("k", "/v1/prices", "product", p.text("id"), "currency", "usd", "unit_amount", "1").requireRefused(
		http.StatusBadRequest, "", "", "same endpoint")
	require.Equal(t, "idempotency_error", r.text("error", "type"))
	h.keyed(strings.Repeat("k", 256), "/v1/products", "name", "Lamp").requireRefused(http.StatusBadRequest, "", "",
		"at most 255")

	// A connected account and live mode have their own keys.
	require.False(t,
		h.ask(http.MethodPost, "/v1/products", form("name", "Lamp"), "Idempotency-Key", "k", "Stripe-Account",
			"acct_other").ok().replayed())
	require.False(t,
		h.ask(http.MethodPost, "/v1/products", form("name", "Lamp"), "Idempotency-Key", "k", "Authorization",
			"Bearer sk_live_1").ok().replayed())

	clock.advance(24 * time.Hour)
	require.True(t, h.keyed("k", "/v1/products", "name", "Lamp", "description", "x").ok().replayed(),
		"kept for 24 hours at least")
	clock.advance(2 * time.Second)
	other := h.keyed("k", "/v1/products", "name", "Lamp", "description", "x").ok()
	require.False(t, other.replayed())
	require.NotEqual(t, p.text("id"), other.text("id"))
}

func TestIdempotency_RefusesKeyInUse(t *testing.T) {
	t.Parallel()
	h := start(t,
		stripesim.Config{
			Faults: []stripesim.Fault{{Kind: stripesim.FaultLatency, Path: "/v1/products", Delay: time.Second}},
		})
	answers := make(chan *response)
	const callers = 8
	for range callers {
		go func() { answers <- h.keyed("k", "/v1/products", "name", "Lamp") }()
	}
	inUse := 0
	var body []byte
	for range callers {
		r := <-answers
		if r.status == http.StatusConflict {
			inUse++
			require.Equal(t, "idempotency_key_in_use", r.text("error", "code"))
			require.Equal(t, "idempotency_error", r.text("error", "type"))
			continue
		}
		r.ok()
		if body == nil {
			body = r.raw
		}
		require.Equal(t, body, r.raw)
	}
	require.Positive(t, inUse)
	require.Less(t, inUse, callers)
	require.Len(t, h.events(), 1, "executed once")
	again := h.keyed("k", "/v1/products", "name", "Lamp").ok()
	require.True(t, again.replayed())
	require.Equal(t, body, again.raw)
}
