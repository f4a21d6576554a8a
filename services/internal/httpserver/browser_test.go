package httpserver_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/httpserver"
)

// serveTo runs a server on an address until the test ends, and returns its URL.
func serveTo(t *testing.T, addr string, cfg httpserver.Config) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", addr)
	require.NoError(t, err)
	ok := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "served") })
	cfg.Listener, cfg.Handler, cfg.Metrics, cfg.Logger = listener, ok, ok, slog.New(slog.DiscardHandler)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- httpserver.Run(ctx, cfg) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-done)
	})
	_, port, err := net.SplitHostPort(listener.Addr().String())
	require.NoError(t, err)
	return net.JoinHostPort("127.0.0.1", port)
}

// call makes a request with headers "Name: value", including Host, and returns the answer's status and body.
func call(t *testing.T, method, at, path string, headers ...string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+at+path,
		strings.NewReader(url.Values{"name": {"x"}}.Encode()))
	require.NoError(t, err)
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		if name == "Host" {
			req.Host = strings.ReplaceAll(value, "PORT", at[strings.LastIndex(at, ":")+1:])
			continue
		}
		req.Header.Set(name, strings.ReplaceAll(value, "HERE", at))
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(data)
}

var everyPath = []string{
	"/", "/driftless.control.v1.ControlService/Pause", "/metrics", "/healthz", "/readyz",
	"/_sim/reset", "/v1/products",
}

func TestRun_OnLoopbackServesOnlyThisMachinesNames(t *testing.T) {
	local := serveTo(t, "127.0.0.1:0", httpserver.Config{})
	named := serveTo(t, "127.0.0.1:0", httpserver.Config{AllowedHosts: []string{"Driftless.example"}})
	for host, want := range map[string]struct{ local, named int }{
		"localhost":              {200, 200},
		"localhost:PORT":         {200, 200},
		"LocalHost.:PORT":        {200, 200},
		"localhost:9999":         {200, 200}, // a forwarded port
		"127.0.0.1":              {200, 200},
		"127.0.0.1:PORT":         {200, 200},
		"[::1]:PORT":             {200, 200},
		"driftless.example":      {403, 200},
		"DRIFTLESS.example:8443": {403, 200},
		"evil.example":           {403, 403},
		"evil.example:PORT":      {403, 403},
		"localhost.evil.example": {403, 403},
		"127.0.0.1.nip.example":  {403, 403},
		"evil.localhost":         {403, 403},
		"10.0.0.7:PORT":          {403, 403},
		"0.0.0.0:PORT":           {403, 403},
		"a.driftless.example":    {403, 403},
	} {
		for _, path := range everyPath {
			method := http.MethodGet
			if strings.Contains(path, "Service") || strings.Contains(path, "_sim") {
				method = http.MethodPost
			}
			status, body := call(t, method, local, path, "Host: "+host)
			require.Equal(t, want.local, status, "%s %s: %s", host, path, body)
			status, body = call(t, method, named, path, "Host: "+host)
			require.Equal(t, want.named, status, "%s %s: %s", host, path, body)
		}
	}
	// For the browser, a rebound page has the same origin as the server.
	status, body := call(t, http.MethodPost, local, "/driftless.control.v1.ControlService/Pause",
		"Host: evil.example", "Origin: http://evil.example", "Sec-Fetch-Site: same-origin")
	require.Equal(t, 403, status)
	var refusal struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	require.NoError(t, json.Unmarshal([]byte(body), &refusal))
	require.Equal(t, "permission_denied", refusal.Code)
	require.Contains(t, refusal.Message, `"evil.example"`)
	require.Contains(t, refusal.Message, "DRIFTLESS_ALLOWED_HOSTS")
	_, body = call(t, http.MethodGet, local, "/", "Host: "+strings.Repeat("e", 5000)+".example")
	require.Less(t, len(body), 500)
}

func TestRun_ElsewhereChecksNamesIfSomeAreSet(t *testing.T) {
	open := serveTo(t, "0.0.0.0:0", httpserver.Config{})
	named := serveTo(t, "0.0.0.0:0", httpserver.Config{AllowedHosts: []string{"driftless.example"}})
	for host, want := range map[string]struct{ open, named int }{
		"driftless.example": {200, 200},
		"localhost:PORT":    {200, 200},
		"10.0.0.7:8082":     {200, 200}, // the address of a pod, as probes and Prometheus have it
		"[fd00::7]:8082":    {200, 200},
		"evil.example":      {200, 403},
	} {
		for _, path := range everyPath {
			status, body := call(t, http.MethodGet, open, path, "Host: "+host)
			require.Equal(t, want.open, status, "%s %s: %s", host, path, body)
			status, body = call(t, http.MethodGet, named, path, "Host: "+host)
			require.Equal(t, want.named, status, "%s %s: %s", host, path, body)
		}
	}
}

func TestRun_RefusesPagesOfOtherOrigins(t *testing.T) {
	for where, at := range map[string]string{
		"loopback":  serveTo(t, "127.0.0.1:0", httpserver.Config{}),
		"elsewhere": serveTo(t, "0.0.0.0:0", httpserver.Config{}),
	} {
		for name, c := range map[string]struct {
			method  string
			headers []string
			want    int
		}{
			"curl": {http.MethodPost, nil, 200},
			"a form of a page": {
				http.MethodPost,
				[]string{"Content-Type: application/x-www-form-urlencoded", "Origin: http://evil.example"},
				403,
			},
			"a form of a new browser": {
				http.MethodPost,
				[]string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Origin: https://evil.example"},
				403,
			},
			"a page that hides its origin":        {http.MethodPost, []string{"Origin: null"}, 403},
			"a page on another port":              {http.MethodPost, []string{"Origin: http://127.0.0.1:1"}, 403},
			"a page on another port, new browser": {http.MethodPost, []string{"Sec-Fetch-Site: same-site"}, 403},
			"text/plain": {
				http.MethodPost,
				[]string{"Content-Type: text/plain", "Sec-Fetch-Site: cross-site"},
				403,
			},
			"a page that deletes": {http.MethodDelete, []string{"Origin: http://evil.example"}, 403},
			"a page that puts":    {http.MethodPut, []string{"Sec-Fetch-Site: cross-site"}, 403},
			"a preflight": {
				http.MethodOptions,
				[]string{"Origin: http://evil.example", "Access-Control-Request-Method: POST"},
				403,
			},
			"a page that reads": {http.MethodGet, []string{"Origin: http://evil.example"}, 403},
			"a picture in a page": {
				http.MethodGet,
				[]string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors"},
				403,
			},
			"a link that is followed": {
				http.MethodGet,
				[]string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate"},
				200,
			},
			"an address that is typed": {
				http.MethodGet,
				[]string{"Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate"},
				200,
			},
			"its own page": {
				http.MethodPost,
				[]string{"Origin: http://HERE", "Sec-Fetch-Site: same-origin"},
				200,
			},
			"its own page, old browser": {http.MethodPost, []string{"Origin: http://HERE"}, 200},
		} {
			for _, path := range everyPath {
				if c.method != http.MethodGet && c.want == 200 && path != "/" {
					continue
				}
				status, body := call(t, c.method, at, path, c.headers...)
				require.Equal(t, c.want, status, "%s, %s: %s %s: %s", where, name, c.method, path, body)
			}
		}
	}
}

func TestRun_SignedPathsAcceptAnyHostAndOrigin(t *testing.T) {
	at := serveTo(t, "127.0.0.1:0", httpserver.Config{SignedPaths: []string{"/stripe/webhook"}})
	for path, want := range map[string]int{
		"/stripe/webhook":  200,
		"/stripe/webhook/": 403,
		"/metrics":         403,
		"/readyz":          403,
	} {
		status, body := call(t, http.MethodGet, at, path, "Host: hooks.example", "Origin: https://elsewhere.example")
		require.Equal(t, want, status, "%s: %s", path, body)
	}
}
