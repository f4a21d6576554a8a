package console_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/console"
	"github.com/driftless-sync/driftless/services/internal/httpserver"
)

// A console that is not ready is taken out by Kubernetes, and its visitors learn nothing.
func TestConsole_IsReadyWithoutTheControlAPI(t *testing.T) {
	t.Parallel()
	refusing := listen(t)
	require.NoError(t, refusing.Close())
	// It accepts connections and never answers. A probe gives up after some seconds.
	silent := listen(t)
	t.Cleanup(func() { _ = silent.Close() })
	for name, api := range map[string]net.Listener{"refuses": refusing, "hangs": silent} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := "http://" + api.Addr().String()
			address := run(t, console.Config{ControlURL: at, IngestURL: at})
			var health struct {
				Status string `json:"status"`
				Notice string `json:"notice"`
			}
			start := time.Now()
			status, body := get(t, address+"/readyz")
			require.Less(t, time.Since(start), 5*time.Second, "the probe of the chart waits so long")
			require.NoError(t, json.Unmarshal([]byte(body), &health))
			require.Equal(t, http.StatusOK, status)
			require.Equal(t, "ready", health.Status)
			require.Contains(t, health.Notice, "the control API at "+at+" is away")
		})
	}
	at := "http://" + refusing.Addr().String()
	resp, err := http.PostForm(run(t, console.Config{ControlURL: at, IngestURL: at})+"/sign-in",
		url.Values{"token": {"any"}})
	require.NoError(t, err)
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
	require.Contains(t, string(page), "does not answer")
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return l
}

// run runs a console until the test ends, and returns its address.
func run(t *testing.T, cfg console.Config) string {
	t.Helper()
	l := listen(t)
	cfg.Logger = slog.New(slog.DiscardHandler)
	cfg.HTTP = httpserver.Config{Listener: l, Logger: cfg.Logger}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- console.Run(ctx, cfg) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	return "http://" + l.Addr().String()
}

func get(t *testing.T, address string) (status int, body string) {
	t.Helper()
	resp, err := http.Get(address)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(text)
}
