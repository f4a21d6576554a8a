package stripesim_test

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/stripesim"
)

func TestRequestLog_IsBounded(t *testing.T) {
	t.Parallel()
	h := start(t, stripesim.Config{RequestLog: 3})
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		h.create("/v1/products", "id", id, "name", "x")
	}
	var got []string
	for _, r := range h.sim.Requests(stripesim.RequestFilter{}) {
		got = append(got, r.Object)
	}
	require.Equal(t, []string{"c", "d", "e"}, got)
	h.sim.ClearRequests()
	require.Empty(t, h.sim.Requests(stripesim.RequestFilter{}))
}

func TestRequestLog_ShowsExecution(t *testing.T) {
	t.Parallel()
	h := startWithLamp(t)
	_, err := h.sim.AddFault(stripesim.Fault{
		Kind:   stripesim.FaultResponseLost,
		Path:   "/v1/prices",
		Object: "lamp",
		Count:  1,
	})
	require.NoError(t, err)
	priced := []string{"product", "lamp", "currency", "usd", "unit_amount", "1"}
	// net/http repeats a request with an Idempotency-Key if a reused connection closes before the first byte. The lost
	// answer must reach the test instead. ask ensures that: its requests have no GetBody.
	require.Error(t, h.keyed("k", "/v1/prices", priced...).err)
	require.True(t, h.keyed("k", "/v1/prices", priced...).ok().replayed())
	requests := h.sim.Requests(stripesim.RequestFilter{KeyPrefix: "k"})
	require.Len(t, requests, 2)
	require.True(t, requests[0].Executed && requests[0].Lost && !requests[0].Replayed)
	require.True(t, !requests[1].Executed && !requests[1].Lost && requests[1].Replayed)
	require.Equal(t, 1, h.sim.Stats().Endpoints["POST /v1/prices"].Lost)

	var all sync.WaitGroup
	for range 20 {
		all.Go(func() { h.keyed("many", "/v1/prices", priced...) })
	}
	all.Wait()
	executed := 0
	for _, r := range h.sim.Requests(stripesim.RequestFilter{KeyPrefix: "many", Operation: "POST /v1/prices"}) {
		if r.Executed {
			executed++
		}
	}
	require.Equal(t, 1, executed)
	require.Equal(t, 2, h.sim.Stats().Objects.Prices)
}

func TestStats_CountSeconds(t *testing.T) {
	t.Parallel()
	c := newClock()
	h := start(t, stripesim.Config{Clock: c.now, Limits: stripesim.Limits{PerSecond: 1}})
	h.keyed("a", "/v1/products", "id", "a", "name", "x").ok()
	h.keyed("b", "/v1/products", "id", "b", "name", "x").requireRefused(http.StatusTooManyRequests, "rate_limit", "",
		"")
	c.advance(time.Second)
	// Another name with a key that was kept would be refused.
	require.False(t, h.keyed("b", "/v1/products", "id", "b", "name", "y").ok().replayed(),
		"requests over the limit are not kept")
	s := h.sim.Stats()
	require.Equal(t, map[string]int{"global-rate": 1}, s.RateLimited)
	require.Equal(t,
		[]stripesim.Second{{Unix: 1790000000, Requests: 2, RateLimited: 1}, {Unix: 1790000001, Requests: 1}}, s.Seconds)
}
