package cli

import (
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/proto/driftless/control/v1/controlv1connect"
)

func TestRetryUnavailable_RetriesCallOfKilledService(t *testing.T) {
	for name, linger := range map[string]int{"reset": 0, "closed": 1} {
		t.Run(name, func(t *testing.T) {
			var calls atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if calls.Add(1) > 2 {
					w.Header().Set("Content-Type", "application/proto")
					return
				}
				conn, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					return
				}
				if tcp, ok := conn.(*net.TCPConn); ok {
					_ = tcp.SetLinger(linger)
				}
				_ = conn.Close()
			}))
			t.Cleanup(server.Close)
			client := controlv1connect.NewControlServiceClient(server.Client(), server.URL,
				connect.WithInterceptors(explainUnreachable("control", target{url: server.URL})))
			require.NoError(t, retryUnavailable(t.Context(), func() error {
				_, err := client.Plan(t.Context(), connect.NewRequest(&controlv1.PlanRequest{}))
				return err
			}))
			require.EqualValues(t, 3, calls.Load())
		})
	}
}

// A mesh elsewhere does not start with driftless up.
func TestTarget_AbsentHint(t *testing.T) {
	t.Parallel()
	for api, service := range map[string]string{"control": "reconciliation", "ingestion": "ingestion"} {
		require.Equal(t, "is the mesh running? (driftless up)", target{isLocal: true}.absentHint(api))
		require.Equal(t, "does "+service+" run, and is this its address? See docs/runbooks/DriftlessServiceDown.md",
			target{}.absentHint(api))
	}
}
