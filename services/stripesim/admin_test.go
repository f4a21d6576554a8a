package stripesim_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/stripesim"
)

func TestAdmin(t *testing.T) {
	t.Parallel()
	h := start(t, stripesim.Config{})
	ctx, a := t.Context(), h.admin
	f, err := a.AddFault(ctx, stripesim.Fault{Kind: stripesim.FaultRateLimit, Count: 1, Object: "lamp"})
	require.NoError(t, err)
	require.Equal(t, "fault_1", f.ID)
	_, err = a.AddFault(ctx, stripesim.Fault{Kind: "rain"})
	require.ErrorContains(t, err, `there is no fault "rain"`)
	require.ErrorContains(t, a.RemoveFault(ctx, "fault_7"), "No such fault")

	id, err := a.CreateProduct(ctx, form("id", "lamp", "name", "Lamp"))
	require.NoError(t, err)
	require.Equal(t, "lamp", id)
	require.NoError(t, a.EditProduct(ctx, "lamp", form("name", "Lantern")))
	price, err := a.CreatePrice(ctx, form("product", "lamp", "currency", "usd", "unit_amount", "1"), false)
	require.NoError(t, err)
	require.NoError(t, a.EditPrice(ctx, price, form("nickname", "n")))
	require.ErrorContains(t, a.DeleteProduct(ctx, "lamp", false), "user-created prices")
	inline, err := a.CreatePrice(ctx, form("product", "lamp", "currency", "usd", "unit_amount", "1"), true)
	require.NoError(t, err)
	require.NotContains(t, h.get("/v1/prices").ok().ids(), inline)
	require.NoError(t, a.DeletePrice(ctx, inline))

	h.keyed("driftless-1", "/v1/products/lamp", "name", "x").requireRefused(http.StatusTooManyRequests, "rate_limit",
		"", "")
	h.keyed("driftless-1", "/v1/products/lamp", "name", "x").ok()
	h.post("/v1/products", "id", "desk", "name", "Desk").ok()
	faults, err := a.Faults(ctx)
	require.NoError(t, err)
	require.Equal(t, 1, faults[0].Hits)
	require.NoError(t, a.RemoveFault(ctx, "fault_1"))
	require.NoError(t, a.ClearFaults(ctx))

	requests, err := a.Requests(ctx, stripesim.RequestFilter{Object: "lamp", KeyPrefix: "driftless-"})
	require.NoError(t, err)
	require.Len(t, requests, 2)
	require.Equal(t, []int{429, 200}, []int{requests[0].Status, requests[1].Status})
	require.Equal(t, "POST /v1/products/{id}", requests[1].Operation)
	require.Regexp(t, "^req_", requests[1].RequestID)
	requests, err = a.Requests(ctx, stripesim.RequestFilter{Limit: 1})
	require.NoError(t, err)
	require.Equal(t, "desk", requests[0].Object)

	s, err := a.Stats(ctx)
	require.NoError(t, err)
	require.Equal(t,
		stripesim.EndpointStats{Requests: 2, Executed: 1, RateLimited: 1, Statuses: map[int]int{200: 1, 429: 1}},
		s.Endpoints["POST /v1/products/{id}"])
	require.Equal(t,
		stripesim.ObjectCounts{
			Accounts:        1,
			Products:        2,
			ActiveProducts:  2,
			Prices:          1,
			ActivePrices:    1,
			Events:          8,
			IdempotencyKeys: 1,
		}, s.Objects)
	require.NoError(t, a.ResetStats(ctx))
	require.NoError(t, a.ClearRequests(ctx))
	require.NoError(t, a.DeleteProduct(ctx, "lamp", true))

	live := a
	live.Live, live.Account = true, "acct_other"
	_, err = live.CreateProduct(ctx, form("id", "lamp", "name", "Lamp"))
	require.NoError(t, err)
	require.Equal(t, true,
		h.ask(http.MethodGet, "/v1/products/lamp", nil, "Authorization", "Bearer sk_live_1", "Stripe-Account",
			"acct_other").ok().at("livemode"))

	require.NoError(t, a.Reset(ctx))
	require.Empty(t, h.get("/v1/products").ok().ids())
	require.ErrorContains(t, a.EditProduct(ctx, "desk", form("name", "x")), "No such product: 'desk'")
	_, err = stripesim.Admin{BaseURL: "http://127.0.0.1:1", HTTPClient: h.http}.Stats(ctx)
	require.ErrorContains(t, err, "call the Stripe simulator")
}

func TestRun_ServesUntilContextEnds(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	done := make(chan error, 1)
	go func() {
		done <- stripesim.Run(ctx, stripesim.Config{Listener: listener, DataFile: t.TempDir() + "/sim.jsonl"})
	}()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	res, err := client.Get("http://" + listener.Addr().String() + "/healthz")
	require.NoError(t, err)
	_, _ = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	require.Equal(t, http.StatusOK, res.StatusCode)
	_, err = stripesim.Admin{BaseURL: "http://" + listener.Addr().String(), HTTPClient: client}.Stats(ctx)
	require.NoError(t, err)
	stop()
	require.NoError(t, <-done)

	err = stripesim.Run(t.Context(), stripesim.Config{Addr: "127.0.0.1:999999"})
	require.ErrorContains(t, err, "cannot listen on 127.0.0.1:999999")
}
