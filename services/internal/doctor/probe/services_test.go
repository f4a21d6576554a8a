package probe

import (
	"context"
	"errors"
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

// Without the records, nobody knows whether a process was lost.
func TestServices_AsksTheAddressesWithoutRecords(t *testing.T) {
	t.Parallel()
	push := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("driftless_build_info{version=\"0.0.9\"} 1\n"))
	}))
	t.Cleanup(push.Close)
	s := Services{
		Addresses: map[string]string{topology.Push: push.URL},
		Version:   "0.1.0",
		Fleet:     func(context.Context) (doctor.Fleet, error) { return doctor.Fleet{}, errors.New("it is down") },
	}
	report := doctor.Run(t.Context(), []doctor.Probe{{
		Name: "test", Covers: []string{doctor.ServicesVersion, doctor.ServicesLost},
		Run: func(ctx context.Context, r *doctor.Recorder) error { return s.lookAtFleet(ctx, r, nil) },
	}}, doctor.Options{})
	require.Len(t, report.Findings, 1)
	require.Equal(t, "there are 2 versions: 0.0.9: push ("+push.URL+"); 0.1.0: driftless (this command)",
		report.Findings[0].Message)
	unlooked := map[string]string{}
	for _, n := range report.NotLooked {
		unlooked[n.ID] = n.Reason
	}
	require.Equal(t, "the records of the processes could not be read: it is down", unlooked[doctor.ServicesLost])
}
