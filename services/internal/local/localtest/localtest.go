// Package localtest gives tests real servers: new databases on a private Postgres that the tests of a process share,
// Postgres servers of their own, and embedded NATS servers. Everything is stopped and removed when the test ends, and
// when the test process is killed.
package localtest

import (
	"context"
	"log/slog"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/local"
)

// NATS starts an embedded NATS server with an empty store, and connects to it. The server acknowledges messages before
// they are on the disk, which is faster; see SyncAlways. It stops when the test ends.
func NATS(t testing.TB, options ...func(*local.NATSConfig)) (url string, conn *nats.Conn) {
	t.Helper()
	cfg := local.NATSConfig{DataDir: t.TempDir(), NoSync: true, Logger: slog.New(slog.DiscardHandler)}
	for _, option := range options {
		option(&cfg)
	}
	server, err := local.StartNATS(context.Background(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	conn, err = nats.Connect(server.URL())
	require.NoError(t, err)
	t.Cleanup(func() { closeConn(conn) })
	return server.URL(), conn
}

// SyncAlways makes the NATS server acknowledge a message only once it is on the disk, as in production.
func SyncAlways(cfg *local.NATSConfig) { cfg.NoSync = false }

// closeConn closes the connection and waits until it is closed, so that no goroutine is left at the end of the test.
func closeConn(conn *nats.Conn) {
	if conn.IsClosed() {
		return
	}
	closed := conn.StatusChanged(nats.CLOSED)
	conn.Close()
	<-closed
}
