package stripesim_test

import (
	"context"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v76"

	"github.com/driftless-sync/driftless/services/stripesim"
)

// A page in a browser must not delete, edit or read the simulator's state.
func TestRun_RefusesWebPages(t *testing.T) {
	t.Parallel()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- stripesim.Run(ctx, stripesim.Config{Listener: listener}) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-done)
	})
	h := &harness{t: t, url: "http://" + listener.Addr().String(), http: &http.Client{}}
	api := h.stripeGo(0)
	_, err = api.Products.New(&stripe.ProductParams{ID: stripe.String("mug"), Name: stripe.String("Mug")})
	require.NoError(t, err, "stripe-go")

	pages := map[string][]string{
		"another origin":     {"Origin: http://evil.example"},
		"a current browser":  {"Origin: http://evil.example", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors"},
		"another local page": {"Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: cors"},
		"a rebound name":     {"Host: evil.example", "Origin: http://evil.example", "Sec-Fetch-Site: same-origin"},
	}
	for name, headers := range pages {
		for _, request := range []struct{ method, path, kind, body string }{
			{http.MethodPost, "/_sim/reset", "text/plain", ""},
			{http.MethodPost, "/_sim/dashboard/products/mug", "application/x-www-form-urlencoded", "name=Theirs"},
			{http.MethodPost, "/_sim/faults", "text/plain", `{"kind": "reset"}`},
			{http.MethodPut, "/_sim/limits", "application/json", `{"per_second": 1}`},
			{http.MethodDelete, "/_sim/dashboard/products/mug", "", ""},
			{http.MethodDelete, "/_sim/requests", "", ""},
			{http.MethodGet, "/_sim/requests", "", ""},
			{http.MethodPost, "/v1/products/mug", "application/x-www-form-urlencoded", "name=Theirs"},
		} {
			req, err := http.NewRequestWithContext(t.Context(), request.method, h.url+request.path,
				strings.NewReader(request.body))
			require.NoError(t, err)
			req.Header.Set("Content-Type", request.kind)
			req.SetBasicAuth(testKey, "")
			for _, header := range headers {
				key, value, _ := strings.Cut(header, ": ")
				if key == "Host" {
					req.Host = value
				} else {
					req.Header.Set(key, value)
				}
			}
			resp, err := h.http.Do(req)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			require.Equal(t, http.StatusForbidden, resp.StatusCode, "%s: %s %s", name, request.method, request.path)
		}
	}
	mug, err := api.Products.Get("mug", nil)
	require.NoError(t, err)
	require.Equal(t, "Mug", mug.Name)

	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("there is no curl")
	}
	for _, args := range [][]string{
		{h.url + "/_sim/dashboard/products/mug", "-d", "name=Edited"},
		{
			strings.Replace(h.url, "127.0.0.1", "localhost", 1) + "/v1/products/mug", "-u", testKey + ":", "-d",
			"description=New",
		},
	} {
		out, err := exec.CommandContext(t.Context(), "curl",
			append([]string{"-sS", "--fail", "--ipv4"}, args...)...).CombinedOutput()
		require.NoError(t, err, string(out))
	}
	mug, err = api.Products.Get("mug", nil)
	require.NoError(t, err)
	require.Equal(t, []string{"Edited", "New"}, []string{mug.Name, mug.Description})
}
