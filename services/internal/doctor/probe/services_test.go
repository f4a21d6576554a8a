package probe

import (
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/doctor"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// A stopped process still has its port: the kernel accepts the connection, and nobody answers.
func TestServices_OneThatHangsHidesNoOther(t *testing.T) {
	t.Parallel()
	hung, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = hung.Close() })
	busy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	t.Cleanup(busy.Close)
	s := Services{Addresses: map[string]string{
		topology.Ingestion: "http://" + hung.Addr().String(), topology.Push: busy.URL,
	}}
	report := doctor.Run(t.Context(), []doctor.Probe{{
		Name: "test", Covers: []string{doctor.ServicesReachable, doctor.ServicesReady}, Run: s.lookAtReady,
	}}, doctor.Options{Selection: doctor.Selection{Only: []string{doctor.ServicesReachable, doctor.ServicesReady}}})
	found := map[string]string{}
	for _, f := range report.Findings {
		found[f.ID] = f.Message
	}
	require.Contains(t, found[doctor.ServicesReachable], "ingestion does not answer")
	require.Contains(t, found[doctor.ServicesReachable], "it took longer than 5s")
	require.Contains(t, found[doctor.ServicesReady], "push at")
}
