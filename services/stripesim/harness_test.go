package stripesim_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/stripesim"
)

const testKey = "sk_test_51Simulated"

// harness is a running simulator with a client that checks every answer against Stripe's OpenAPI document.
type harness struct {
	t     *testing.T
	sim   *stripesim.Sim
	url   string
	http  *http.Client
	admin stripesim.Admin
}

// start runs a simulator. It has no limits unless the configuration sets some.
func start(t *testing.T, cfg stripesim.Config) *harness {
	t.Helper()
	if cfg.Limits == (stripesim.Limits{}) {
		cfg.Limits.Off = true
	}
	sim, err := stripesim.New(cfg)
	require.NoError(t, err)
	return serve(t, sim)
}

func serve(t *testing.T, sim *stripesim.Sim) *harness {
	t.Helper()
	server := httptest.NewServer(sim.Handler())
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { sim.Run(ctx) })
	transport := &http.Transport{MaxIdleConnsPerHost: 100}
	client := &http.Client{Transport: &checkingTransport{t: t, next: transport}}
	t.Cleanup(func() {
		stop()
		running.Wait()
		transport.CloseIdleConnections()
		server.Close()
		require.NoError(t, sim.Close())
	})
	return &harness{
		t: t, sim: sim, url: server.URL, http: client,
		admin: stripesim.Admin{BaseURL: server.URL, HTTPClient: client},
	}
}

// form returns parameters from alternating names and values.
func form(pairs ...string) url.Values {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Add(pairs[i], pairs[i+1])
	}
	return v
}

// response is an answer of the simulator.
type response struct {
	t      *testing.T
	status int
	header http.Header
	raw    []byte
	body   map[string]any
	err    error
}

// ask makes a request. headers are alternating names and values.
func (h *harness) ask(method, path string, params url.Values, headers ...string) *response {
	h.t.Helper()
	address, body := h.url+path, ""
	if method == http.MethodPost {
		body = params.Encode()
	} else if len(params) > 0 {
		address += "?" + params.Encode()
	}
	r, err := http.NewRequestWithContext(context.Background(), method, address, strings.NewReader(body))
	require.NoError(h.t, err)
	r.GetBody = nil // so that the transport never repeats a request itself
	r.Header.Set("Authorization", "Bearer "+testKey)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	out := &response{t: h.t}
	res, err := h.http.Do(r)
	if err != nil {
		out.err = err
		return out
	}
	defer func() { _ = res.Body.Close() }()
	out.status, out.header = res.StatusCode, res.Header
	out.raw, out.err = io.ReadAll(res.Body)
	d := json.NewDecoder(bytes.NewReader(out.raw))
	d.UseNumber()
	_ = d.Decode(&out.body)
	return out
}

func (h *harness) post(path string, pairs ...string) *response {
	h.t.Helper()
	return h.ask(http.MethodPost, path, form(pairs...))
}

func (h *harness) get(path string, pairs ...string) *response {
	h.t.Helper()
	return h.ask(http.MethodGet, path, form(pairs...))
}

// create posts, and returns the id of the created object.
func (h *harness) create(path string, pairs ...string) string {
	h.t.Helper()
	return h.post(path, pairs...).ok().text("id")
}

// events returns the types of the account's events, oldest first.
func (h *harness) events() []string {
	h.t.Helper()
	var out []string
	for _, e := range h.get("/v1/events", "limit", "100").ok().list() {
		out = append([]string{text(e, "type")}, out...)
	}
	return out
}

func (h *harness) lastEvent() map[string]any {
	h.t.Helper()
	return h.get("/v1/events", "limit", "1").ok().list()[0]
}

func (r *response) ok() *response {
	r.t.Helper()
	require.NoError(r.t, r.err)
	require.Equal(r.t, http.StatusOK, r.status, "%s", r.raw)
	return r
}

// requireRefused requires an error with this status, code and parameter, and with words in its message.
func (r *response) requireRefused(status int, code, param, words string) *response {
	r.t.Helper()
	require.NoError(r.t, r.err)
	require.Equal(r.t, status, r.status, "%s", r.raw)
	e, _ := r.body["error"].(map[string]any)
	require.Equal(r.t, code, text(e, "code"), "%s", r.raw)
	require.Equal(r.t, param, text(e, "param"), "%s", r.raw)
	require.Contains(r.t, text(e, "message"), words)
	return r
}

// at follows a path of names into the answer.
func (r *response) at(path ...string) any {
	r.t.Helper()
	var v any = r.body
	for _, name := range path {
		object, ok := v.(map[string]any)
		require.True(r.t, ok, "%v in %s", path, r.raw)
		v = object[name]
	}
	return v
}

func (r *response) text(path ...string) string {
	r.t.Helper()
	s, ok := r.at(path...).(string)
	require.True(r.t, ok, "%v is no text in %s", path, r.raw)
	return s
}

func (r *response) list() []map[string]any {
	r.t.Helper()
	var out []map[string]any
	data, ok := r.body["data"].([]any)
	require.True(r.t, ok, "%s", r.raw)
	for _, v := range data {
		object, _ := v.(map[string]any)
		out = append(out, object)
	}
	return out
}

func (r *response) ids() []string {
	r.t.Helper()
	out := []string{}
	for _, v := range r.list() {
		out = append(out, text(v, "id"))
	}
	return out
}

func text(object map[string]any, path ...string) string {
	for _, name := range path[:len(path)-1] {
		object, _ = object[name].(map[string]any)
	}
	s, _ := object[path[len(path)-1]].(string)
	return s
}

func number(s string) json.Number { return json.Number(s) }

// eventually waits for a condition.
func eventually(t *testing.T, condition func() bool, what string) {
	t.Helper()
	require.Eventually(t, condition, 10*time.Second, 2*time.Millisecond, what)
}

// clock is a clock that only tests advance.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Unix(1_790_000_000, 0)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// inbox is a webhook receiver.
type inbox struct {
	url string

	mu       sync.Mutex
	letters  []letter
	statuses []int // of the next answers; then 200
}

type letter struct {
	body      []byte
	signature string
	event     map[string]any
}

func newInbox(t *testing.T) *inbox {
	t.Helper()
	in := &inbox{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		in.mu.Lock()
		defer in.mu.Unlock()
		l := letter{body: body, signature: r.Header.Get("Stripe-Signature")}
		_ = json.Unmarshal(body, &l.event)
		in.letters = append(in.letters, l)
		if len(in.statuses) > 0 {
			w.WriteHeader(in.statuses[0])
			in.statuses = in.statuses[1:]
		}
	}))
	t.Cleanup(server.Close)
	in.url = server.URL
	return in
}

func (in *inbox) all() []letter {
	in.mu.Lock()
	defer in.mu.Unlock()
	return append([]letter(nil), in.letters...)
}

func (in *inbox) types() []string {
	var out []string
	for _, l := range in.all() {
		out = append(out, text(l.event, "type"))
	}
	return out
}
