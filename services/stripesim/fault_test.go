package stripesim_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/stripesim"
)

// The table has the effect of each fault on a request, and whether the request was executed.
func TestFaults_OfRequests(t *testing.T) {
	t.Parallel()
	for kind, c := range map[stripesim.FaultKind]struct {
		status   int // 0: no answer
		code     string
		executed bool
		header   map[string]string
	}{
		stripesim.FaultRateLimit: {
			429, "rate_limit", false,
			map[string]string{"Stripe-Rate-Limited-Reason": "resource-specific"},
		},
		stripesim.FaultLockTimeout: {
			429, "lock_timeout", false,
			map[string]string{"Stripe-Rate-Limited-Reason": "", "Request-Id": "", "Stripe-Should-Retry": "true"},
		},
		stripesim.FaultErrorBefore:  {500, "", false, nil},
		stripesim.FaultErrorAfter:   {500, "", true, nil},
		stripesim.FaultUnavailable:  {503, "", false, nil},
		stripesim.FaultBadGateway:   {502, "", false, map[string]string{"Content-Type": "text/html"}},
		stripesim.FaultLatency:      {200, "", true, nil},
		stripesim.FaultResponseLost: {0, "", true, nil},
		stripesim.FaultReset:        {0, "", false, nil},
		stripesim.FaultKeyRevoked: {
			401, "api_key_expired", false,
			map[string]string{"WWW-Authenticate": `Basic realm="Stripe"`},
		},
		stripesim.FaultForbidden: {403, "", false, nil},
		stripesim.FaultRefused:   {400, "", false, map[string]string{"Stripe-Should-Retry": ""}},
	} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			h := start(t, stripesim.Config{})
			_, err := h.sim.AddFault(stripesim.Fault{
				Kind: kind, Method: "post", Path: "/v1/products", Count: 1, Reason: stripesim.ReasonResourceSpecific,
				Delay: 20 * time.Millisecond,
			})
			require.NoError(t, err)
			begun := time.Now()
			r := h.post("/v1/products", "id", "lamp", "name", "Lamp")
			if c.status == 0 {
				require.Error(t, r.err)
			} else {
				require.NoError(t, r.err)
				require.Equal(t, c.status, r.status)
				for name, want := range c.header {
					require.Equal(t, want, r.header.Get(name), name)
				}
			}
			if c.code != "" {
				require.Equal(t, c.code, r.text("error", "code"))
			}
			if kind == stripesim.FaultLatency {
				require.GreaterOrEqual(t, time.Since(begun), 20*time.Millisecond)
			}
			want := http.StatusNotFound
			if c.executed {
				want = http.StatusOK
			}
			require.Equal(t, want, h.get("/v1/products/lamp").status)

			log := h.sim.Requests(stripesim.RequestFilter{Object: "lamp"})
			require.Len(t, log, 1)
			require.Equal(t, kind, log[0].Fault)
			require.Equal(t, c.executed, log[0].Executed)
			require.Equal(t, c.status == 0, log[0].Lost)
			require.Equal(t, 1, h.sim.Faults()[0].Hits)
			h.post("/v1/products", "name", "Mug").ok()
		})
	}
}

func TestFaults_MatchFilters(t *testing.T) {
	t.Parallel()
	h := start(t, stripesim.Config{})
	h.create("/v1/products", "id", "lamp", "name", "Lamp")
	h.create("/v1/products", "id", "mug", "name", "Mug")
	price := h.create("/v1/prices", "product", "lamp", "currency", "usd", "unit_amount", "1")
	struck := func(r *response) bool { return r.status == http.StatusServiceUnavailable }
	for name, c := range map[string]struct {
		fault        stripesim.Fault
		struck, fine func() *response
	}{
		"an object": {
			stripesim.Fault{Object: "lamp"},
			func() *response { return h.post("/v1/products/lamp", "name", "x") },
			func() *response { return h.post("/v1/products/mug", "name", "x") },
		},
		"the prices of a product": {
			stripesim.Fault{Object: "lamp"},
			func() *response { return h.post("/v1/prices/"+price, "nickname", "x") },
			func() *response { return h.post("/v1/prices", "product", "mug", "currency", "usd", "unit_amount", "1") },
		},
		"an operation": {
			stripesim.Fault{Path: "/v1/prices/{price}"},
			func() *response { return h.get("/v1/prices/" + price) },
			func() *response { return h.get("/v1/prices") },
		},
		"a pattern": {
			stripesim.Fault{Path: "/v1/pr*/l*p", Method: http.MethodGet},
			func() *response { return h.get("/v1/products/lamp") },
			func() *response { return h.post("/v1/products/lamp", "name", "x") },
		},
	} {
		c.fault.Kind = stripesim.FaultUnavailable
		f, err := h.sim.AddFault(c.fault)
		require.NoError(t, err)
		require.True(t, struck(c.struck()), name)
		require.False(t, struck(c.fine()), name)
		require.True(t, h.sim.RemoveFault(f.ID))
		require.False(t, h.sim.RemoveFault(f.ID))
		require.False(t, struck(c.struck()), name)
	}
}

func TestFaults_RefuseKeyOrUseGivenMessage(t *testing.T) {
	t.Parallel()
	h := start(t, stripesim.Config{})
	h.create("/v1/products", "id", "lamp", "name", "Lamp")
	_, err := h.sim.AddFault(stripesim.Fault{Kind: stripesim.FaultKeyRevoked, Key: "sk_test_old"})
	require.NoError(t, err)
	h.ask(http.MethodGet, "/v1/products/lamp", nil, "Authorization", "Bearer sk_test_old").requireRefused(
		http.StatusUnauthorized, "api_key_expired", "", "Expired API Key")
	h.ask(http.MethodGet, "/v1/products/lamp", nil, "Authorization", "Bearer sk_test_new").ok()
	_, err = h.sim.AddFault(stripesim.Fault{Kind: stripesim.FaultForbidden, Path: "/v1/prices*"})
	require.NoError(t, err)
	h.get("/v1/prices").requireRefused(http.StatusForbidden, "", "", "Having the 'rak_plan_read' permission")
	_, err = h.sim.AddFault(stripesim.Fault{
		Kind: stripesim.FaultRefused, Object: "lamp", Method: http.MethodPost, Status: 402, Code: "tax_code_invalid",
		Message: "No.", Param: "tax_code", ShouldRetry: "false",
	})
	require.NoError(t, err)
	for _, replayed := range []string{"", "true"} {
		r := h.ask(http.MethodPost, "/v1/products/lamp", form("name", "Lantern"), "Idempotency-Key", "k")
		r.requireRefused(402, "tax_code_invalid", "tax_code", "No.")
		require.Equal(t, replayed, r.header.Get("Idempotent-Replayed"), "the refusal is stored for the key")
	}
	for _, bad := range []stripesim.Fault{{Status: 500}, {ShouldRetry: "perhaps"}} {
		bad.Kind = stripesim.FaultRefused
		_, err = h.sim.AddFault(bad)
		require.Error(t, err)
	}
}

func TestFaults_CountAndSkip(t *testing.T) {
	t.Parallel()
	pattern := func(f stripesim.Fault) string {
		f.Kind = stripesim.FaultUnavailable
		h := start(t, stripesim.Config{Faults: []stripesim.Fault{f}})
		out := ""
		for range 40 {
			if h.get("/v1/products").status == http.StatusOK {
				out += "."
			} else {
				out += "x"
			}
		}
		return out
	}
	require.Equal(t, "..xxx...................................", pattern(stripesim.Fault{Skip: 2, Count: 3}))
	some := pattern(stripesim.Fault{Probability: 0.5, Seed: 7})
	require.Equal(t, some, pattern(stripesim.Fault{Probability: 0.5, Seed: 7}), "a seed repeats")
	require.NotEqual(t, some, pattern(stripesim.Fault{Probability: 0.5, Seed: 8}))
	require.Contains(t, some, ".")
	require.Contains(t, some, "x")

	h := start(t, stripesim.Config{})
	_, err := h.sim.AddFault(stripesim.Fault{Kind: "gremlin"})
	require.ErrorContains(t, err, `there is no fault "gremlin"; the faults are`)
	_, err = h.sim.AddFault(stripesim.Fault{Kind: stripesim.FaultReset, Probability: 2})
	require.ErrorContains(t, err, "between 0 and 1")
	_, err = stripesim.New(stripesim.Config{Faults: []stripesim.Fault{{}}})
	require.Error(t, err)
}

func TestLockObjects_RefusesConcurrentWrite(t *testing.T) {
	t.Parallel()
	h := start(t, stripesim.Config{LockObjects: true})
	h.create("/v1/products", "id", "lamp", "name", "Lamp")
	h.create("/v1/products", "id", "mug", "name", "Mug")
	_, err := h.sim.AddFault(stripesim.Fault{
		Kind:   stripesim.FaultLatency,
		Object: "lamp",
		Method: http.MethodPost,
		Delay:  time.Second,
		Count:  1,
	})
	require.NoError(t, err)
	slow := make(chan *response)
	go func() { slow <- h.post("/v1/products/lamp", "name", "Lantern") }()
	eventually(t, func() bool { return h.sim.Faults()[0].Hits == 1 }, "the first write is running")
	h.post("/v1/products/lamp", "name", "Torch").requireRefused(http.StatusTooManyRequests, "lock_timeout", "",
		"cannot be accessed right now")
	h.post("/v1/products/mug", "name", "Cup").ok()
	h.get("/v1/products/lamp").ok()
	(<-slow).ok()
	h.post("/v1/products/lamp", "name", "Torch").ok()
	require.Equal(t, 1, h.sim.Stats().RateLimited["lock_timeout"])
}
