package localtest

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"
)

// NATSConfigured starts a NATS server with a configuration file, on a free port of 127.0.0.1 and without other
// listeners. If the file names no store, the streams are in a temporary directory. change changes the options further.
// The server stops when the test ends.
func NATSConfigured(t testing.TB, file string, change ...func(*server.Options)) *server.Server {
	t.Helper()
	options, err := server.ProcessConfigFile(file)
	require.NoError(t, err)
	options.Host, options.Port, options.HTTPHost, options.HTTPPort = "127.0.0.1", server.RANDOM_PORT, "", 0
	options.NoSigs, options.NoLog = true, true
	options.JetStream = true
	if options.StoreDir == "" {
		options.StoreDir = t.TempDir()
	}
	for _, c := range change {
		c(options)
	}
	srv, err := server.NewServer(options)
	require.NoError(t, err)
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	srv.Start()
	require.True(t, srv.ReadyForConnections(time.Minute), "the NATS server does not start")
	return srv
}

// RestartNATS stops a server of NATSConfigured, and starts it at the same address with what the file says now.
func RestartNATS(t testing.TB, srv *server.Server, file string) *server.Server {
	t.Helper()
	port := srv.Addr().(*net.TCPAddr).Port
	srv.Shutdown()
	srv.WaitForShutdown()
	return NATSConfigured(t, file, func(o *server.Options) { o.Port = port })
}

// NATSConfig starts a NATS server with the text of a configuration file; see NATSConfigured.
func NATSConfig(t testing.TB, format string, values ...any) *server.Server {
	t.Helper()
	file := filepath.Join(t.TempDir(), "nats-server.conf")
	require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, format, values...), 0o600))
	return NATSConfigured(t, file)
}
