package stripesim_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/stripesim"
)

// countAdmitted makes requests until one is refused. It returns the number of admitted requests, and the reason.
func (h *harness) countAdmitted(method, path, key string) (int, string) {
	h.t.Helper()
	for n := range 1000 {
		r := h.ask(method, path, nil, "Authorization", "Bearer "+key)
		if r.status == http.StatusTooManyRequests {
			r.requireRefused(http.StatusTooManyRequests, "rate_limit", "", "Request rate limit exceeded")
			return n, r.header.Get("Stripe-Rate-Limited-Reason")
		}
	}
	h.t.Fatal("there is no limit")
	return 0, ""
}

func TestLimits_DefaultToStripes(t *testing.T) {
	t.Parallel()
	clock := newClock()
	h := start(t, stripesim.Config{Clock: clock.now, Limits: stripesim.Limits{Burst: 1}})

	n, reason := h.countAdmitted(http.MethodGet, "/v1/products", "sk_test_1")
	require.Equal(t, 25, n)
	require.Equal(t, "global-rate", reason, "in test mode the account's limit is as low as an endpoint's")

	clock.advance(time.Second)
	for _, c := range []struct{ method, path string }{
		{http.MethodGet, "/v1/products"}, {http.MethodGet, "/v1/products/a"}, {http.MethodPost, "/v1/products/a"},
	} {
		n, reason = h.countAdmitted(c.method, c.path, "sk_live_1")
		require.Equal(t, 25, n, "%s %s", c.method, c.path)
		require.Equal(t, "endpoint-rate", reason)
	}
	n, reason = h.countAdmitted(http.MethodPost, "/v1/products/b", "sk_live_1")
	require.Equal(t, 0, n, "all ids share one bucket")
	require.Equal(t, "endpoint-rate", reason)
	n, reason = h.countAdmitted(http.MethodGet, "/v1/events", "rk_live_2")
	require.Equal(t, 25, n, "whatever the key")
	require.Equal(t, "global-rate", reason)

	clock.advance(200 * time.Millisecond)
	n, reason = h.countAdmitted(http.MethodGet, "/v1/products", "sk_live_1")
	require.Equal(t, 5, n, "25 per second flow back")
	require.Equal(t, "endpoint-rate", reason)

	clock.advance(time.Hour)
	n, _ = h.countAdmitted(http.MethodGet, "/v1/products", "sk_live_1")
	require.Equal(t, 25, n, "at most one second's worth")

	r := h.ask(http.MethodGet, "/v1/products", nil, "Authorization", "Bearer sk_live_1", "Stripe-Account", "acct_other")
	require.Equal(t, http.StatusOK, r.status, "another account has its own limits")
}

func TestLimits_CanBeChanged(t *testing.T) {
	t.Parallel()
	clock := newClock()
	h := start(t, stripesim.Config{Clock: clock.now})
	require.True(t, h.sim.Limits().Off)
	for range 200 {
		h.get("/v1/products").ok()
	}
	h.sim.SetLimits(stripesim.Limits{PerSecond: 10, PerEndpoint: 2, Burst: 0.1})
	n, reason := h.countAdmitted(http.MethodGet, "/v1/products", testKey)
	require.Equal(t, 1, n, "a bucket holds at least one request")
	require.Equal(t, "global-rate", reason)
	clock.advance(100 * time.Millisecond)
	_, reason = h.countAdmitted(http.MethodGet, "/v1/products", testKey)
	require.Equal(t, "endpoint-rate", reason)
}

func TestLimits_Concurrency(t *testing.T) {
	t.Parallel()
	for reason, limits := range map[string]stripesim.Limits{
		"global-concurrency":   {PerSecond: 1e6, PerEndpoint: 1e6, Concurrency: 1},
		"endpoint-concurrency": {PerSecond: 1e6, PerEndpoint: 1e6, EndpointConcurrency: 1},
	} {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			h := start(t, stripesim.Config{
				Limits: limits,
				Faults: []stripesim.Fault{{
					Kind:  stripesim.FaultLatency,
					Path:  "/v1/products",
					Delay: time.Second,
					Count: 1,
				}},
			})
			slow := make(chan *response)
			go func() { slow <- h.get("/v1/products") }()
			eventually(t, func() bool { return h.sim.Faults()[0].Hits == 1 }, "the first request is running")
			r := h.get("/v1/products").requireRefused(http.StatusTooManyRequests, "rate_limit", "", "")
			require.Equal(t, reason, r.header.Get("Stripe-Rate-Limited-Reason"))
			(<-slow).ok()
			h.get("/v1/products").ok()
		})
	}
}
