package cli

import (
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/topology"
)

// TestChooseAddresses_KeepsPortsForServices tries to take each port between its choice and the start of the service.
func TestChooseAddresses_KeepsPortsForServices(t *testing.T) {
	t.Parallel()
	u := &up{upCmd: &upCmd{Ports: "auto", Without: []string{topology.Push}}}
	t.Cleanup(u.stopDependencies)
	require.NoError(t, u.chooseAddresses())
	require.Len(t, u.listeners, 4)
	for name, url := range map[string]string{
		topology.Ingestion:      u.endpoints.Ingest,
		topology.Pull:           u.endpoints.Webhook,
		topology.Reconciliation: u.endpoints.Control,
		console:                 u.endpoints.Console,
		"the simulator":         u.endpoints.Stripe,
	} {
		_, err := net.Listen("tcp", strings.TrimPrefix(url, "http://"))
		require.ErrorIs(t, err, syscall.EADDRINUSE, name)
	}
	// A service serves on the file that it inherits.
	listener, err := net.FileListener(u.listeners[topology.Pull])
	require.NoError(t, err)
	server := &http.Server{Handler: http.NotFoundHandler()}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	resp, err := http.Get(u.endpoints.Webhook)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.NoError(t, server.Close())
	require.ErrorIs(t, <-done, http.ErrServerClosed)

	free, err := net.Listen("tcp", u.PushAddr)
	require.NoError(t, err, "a service that somebody else runs gets its port")
	require.NoError(t, free.Close())
	u.stopDependencies()
	u.stops = nil
	free, err = net.Listen("tcp", u.PullAddr)
	require.NoError(t, err, "a mesh that stops gives its ports back")
	require.NoError(t, free.Close())
}
