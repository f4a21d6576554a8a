package stripesim_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/stripesim"
)

// childDataFile makes the test program a simulator with that data file, which the test kills.
const childDataFile = "STRIPESIM_TEST_CHILD"

func child(file string) int {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err == nil {
		fmt.Println(listener.Addr())
		err = stripesim.Run(context.Background(), stripesim.Config{
			Listener: listener,
			DataFile: file,
			Limits:   stripesim.Limits{Off: true},
		})
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

func TestJournal_KeepsState(t *testing.T) { //nolint:tparallel // one process after the other
	t.Parallel()
	c := newClock()
	in := newInbox(t)
	in.statuses = slices.Repeat([]int{500}, 1000)
	cfg := stripesim.Config{
		Clock: c.now, DataFile: filepath.Join(t.TempDir(), "new folder", "sim.jsonl"), RefuseDeletedIDs: true,
		Limits:   stripesim.Limits{Off: true},
		Webhooks: []stripesim.Webhook{{URL: in.url, Secrets: []string{"whsec_1"}, Events: []string{"product.deleted"}}},
	}
	var before, after map[string]string
	look := func(h *harness) map[string]string {
		out := map[string]string{}
		for _, path := range []string{
			"/v1/products", "/v1/products?active=false",
			"/v1/prices?expand[]=data.tiers&expand[]=data.currency_options&limit=100",
			"/v1/prices?active=false", "/v1/events?limit=100", "/v1/webhook_endpoints",
		} {
			out[path] = string(h.get(path).ok().raw)
		}
		out["other account"] = string(h.ask(http.MethodGet, "/v1/products", nil, "Stripe-Account", "acct_other",
			"Authorization", "Bearer sk_live_1").ok().raw)
		return out
	}
	var price, key string
	t.Run("first process", func(t *testing.T) {
		h := start(t, cfg)
		h.create("/v1/products", "id", "lamp", "name", "Lamp", "shippable", "false", "features[0][name]", "Warm",
			"metadata[k]", "v",
			"package_dimensions[height]", "1.5", "package_dimensions[length]", "1", "package_dimensions[weight]", "1",
			"package_dimensions[width]", "1")
		price = h.create("/v1/prices", "product", "lamp", "currency", "usd", "unit_amount_decimal", "0.000000000001",
			"lookup_key", "k", "currency_options[eur][unit_amount_decimal]", "3")
		h.create("/v1/prices", "product", "lamp", "currency", "usd", "billing_scheme", "tiered", "recurring[interval]",
			"month", "tiers_mode", "volume", "tiers[0][up_to]", "inf", "tiers[0][flat_amount_decimal]", "0.5")
		h.create("/v1/prices", "product", "lamp", "currency", "usd", "custom_unit_amount[enabled]", "true", "active",
			"false")
		require.NoError(t,
			h.sim.Dashboard().DeletePrice(h.create("/v1/prices", "product", "lamp", "currency", "usd", "unit_amount",
				"1")))
		h.post("/v1/products/lamp", "default_price", price).ok()
		key = string(h.keyed("key", "/v1/products", "id", "desk", "name", "Desk").ok().raw)
		h.create("/v1/products", "id", "gone", "name", "Gone")
		h.ask(http.MethodDelete, "/v1/products/gone", nil).ok()
		h.create("/v1/webhook_endpoints", "url", "http://127.0.0.1:1/", "enabled_events[]", "coupon.created")
		h.ask(http.MethodPost, "/v1/products", form("id", "lamp", "name", "Live Lamp"), "Stripe-Account", "acct_other",
			"Authorization", "Bearer sk_live_1").ok()
		before = look(h)
	})
	for _, process := range []string{
		"second process",
		"third process",
	} { // the third reads the journal that the second compacted
		t.Run(process, func(t *testing.T) {
			h := start(t, cfg)
			after = look(h)
			require.Equal(t, before, after)
			require.Equal(t, key, string(h.keyed("key", "/v1/products", "id", "desk", "name", "Desk").ok().raw))
			h.post("/v1/prices", "product", "lamp", "currency", "usd", "unit_amount", "1", "lookup_key",
				"k").requireRefused(
				http.StatusBadRequest, "", "lookup_key", price)
			h.post("/v1/products", "id", "gone", "name", "x").requireRefused(http.StatusBadRequest,
				"resource_already_exists",
				"id", "")
		})
	}
	in.mu.Lock()
	in.statuses = nil
	in.mu.Unlock()
	t.Run("the webhook arrives at last", func(t *testing.T) {
		h := start(t, cfg)
		eventually(t, func() bool { return h.sim.Stats().Webhooks.Pending == 0 }, "delivered")
		require.Equal(t, 1, h.sim.Stats().Webhooks.Delivered)
	})
	t.Run("and does not come again", func(t *testing.T) {
		h := start(t, cfg)
		require.Zero(t, h.sim.Stats().Webhooks.Pending)
		require.NoError(t, h.sim.Reset())
	})
	t.Run("nothing is left after a reset", func(t *testing.T) {
		h := start(t, cfg)
		require.Equal(t, stripesim.ObjectCounts{}, h.sim.Stats().Objects)
	})
}

func TestJournal_TornAndDamaged(t *testing.T) { //nolint:tparallel // one process after the other
	t.Parallel()
	file := filepath.Join(t.TempDir(), "sim.jsonl")
	cfg := stripesim.Config{DataFile: file, Limits: stripesim.Limits{Off: true}}
	t.Run("write", func(t *testing.T) {
		h := start(t, cfg)
		h.create("/v1/products", "id", "a", "name", "x")
		h.create("/v1/products", "id", "b", "name", "x")
	})
	whole, err := os.ReadFile(file)
	require.NoError(t, err)
	lines := strings.SplitAfter(string(whole), "\n")
	require.Len(t, lines, 3)
	for cut := 1; cut < len(lines[1]); cut += 40 {
		require.NoError(t, os.WriteFile(file, []byte(lines[0]+lines[1][:cut]), 0o600))
		t.Run("torn", func(t *testing.T) {
			h := start(t, cfg)
			require.Equal(t, []string{"a"}, h.get("/v1/products").ok().ids())
			h.create("/v1/products", "id", "c", "name", "x")
		})
		t.Run("and written on", func(t *testing.T) {
			require.Equal(t, []string{"c", "a"}, start(t, cfg).get("/v1/products").ok().ids())
		})
	}
	require.NoError(t, os.WriteFile(file, []byte(lines[0]+"{nonsense\n"+lines[1]), 0o600))
	_, err = stripesim.New(cfg)
	require.ErrorContains(t, err, "line 2 of its data file")
	require.ErrorContains(t, err, "move the file away")
}

// Everything acknowledged before kill -9 must exist after it.
func TestJournal_SurvivesKill(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "sim.jsonl")
	acknowledged := map[string]bool{}
	for round := range 3 {
		process := exec.CommandContext(t.Context(), os.Args[0])
		process.Env = append(os.Environ(), childDataFile+"="+file)
		process.Stderr = os.Stderr
		out, err := process.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, process.Start())
		address, err := bufio.NewReader(out).ReadString('\n')
		require.NoError(t, err)
		transport := &http.Transport{}
		h := &harness{t: t, url: "http://" + strings.TrimSpace(address), http: &http.Client{Transport: transport}}
		var mu sync.Mutex
		var writers sync.WaitGroup
		enough := make(chan struct{})
		for w := range 4 {
			writers.Go(func() {
				for i := range 1000 {
					id := fmt.Sprintf("p_%d_%d_%d", round, w, i)
					r := h.keyed("key_"+id, "/v1/products", "id", id, "name", "x")
					if r.err != nil {
						return
					}
					if r.status == http.StatusOK {
						mu.Lock()
						acknowledged[id] = true
						if len(acknowledged) == 100*(round+1) {
							close(enough)
						}
						mu.Unlock()
					}
				}
			})
		}
		<-enough
		require.NoError(t, process.Process.Kill())
		_ = process.Wait() // killed
		writers.Wait()
		transport.CloseIdleConnections()
	}
	h := start(t, stripesim.Config{DataFile: file})
	for id := range acknowledged {
		h.get("/v1/products/" + id).ok()
		require.Equal(t, "true",
			h.keyed("key_"+id, "/v1/products", "id", id, "name", "x").ok().header.Get("Idempotent-Replayed"))
	}
	s := h.sim.Stats()
	require.GreaterOrEqual(t, s.Objects.Products, len(acknowledged))
	require.Equal(t, s.Objects.Products, s.Objects.Events, "an object and its event come together")
}

func BenchmarkCreateProduct(b *testing.B) {
	sim, err := stripesim.New(stripesim.Config{
		DataFile: filepath.Join(b.TempDir(), "sim.jsonl"),
		Limits:   stripesim.Limits{Off: true},
	})
	require.NoError(b, err)
	handler := sim.Handler()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		id := strconv.Itoa(i)
		r, _ := http.NewRequestWithContext(b.Context(), http.MethodPost, "http://sim/v1/products",
			strings.NewReader("name=Lamp&metadata[k]=v&id="+id))
		r.Header.Set("Authorization", "Bearer "+testKey)
		r.Header.Set("Idempotency-Key", id)
		handler.ServeHTTP(&discard{header: http.Header{}}, r)
	}
	require.NoError(b, sim.Close())
}

// discard discards an answer.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(status int) {
	if status != http.StatusOK {
		panic(status)
	}
}
