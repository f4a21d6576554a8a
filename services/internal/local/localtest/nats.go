package localtest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/local"
	"github.com/driftless-sync/driftless/services/internal/local/localnodes"
)

// NATS starts a NATS server with an empty store, and connects to it; see StartNATS.
func NATS(t testing.TB, options ...func(*local.NATSConfig)) (url string, conn *nats.Conn) {
	t.Helper()
	url, _ = StartNATS(t, options...)
	conn, err := nats.Connect(url)
	require.NoError(t, err)
	t.Cleanup(func() { closeConn(conn) })
	return url, conn
}

// StartNATS starts a NATS server with an empty store. The server acknowledges messages before they are on the disk,
// which is faster; see SyncAlways. It stops when the test ends, or before by stop, which may be called more than once.
//
// The server is part of this process. If localnodes.ProgramVariable names a program, it is a process of its own.
func StartNATS(t testing.TB, options ...func(*local.NATSConfig)) (url string, stop func()) {
	t.Helper()
	cfg := local.NATSConfig{DataDir: t.TempDir(), NoSync: true}
	for _, option := range options {
		option(&cfg)
	}
	if program := os.Getenv(localnodes.ProgramVariable); program != "" {
		url, stop = startProgram(t, program, cfg)
	} else {
		url, stop = startEmbedded(t, cfg)
	}
	stop = sync.OnceFunc(stop)
	t.Cleanup(stop)
	return url, stop
}

// SyncAlways makes the NATS server acknowledge a message only once it is on the disk, as in production.
func SyncAlways(cfg *local.NATSConfig) { cfg.NoSync = false }

func startEmbedded(t testing.TB, cfg local.NATSConfig) (url string, stop func()) {
	t.Helper()
	cfg.Logger = slog.New(slog.DiscardHandler)
	server, err := local.StartNATS(context.Background(), cfg)
	require.NoError(t, err)
	return server.URL(), func() { require.NoError(t, server.Close()) }
}

// startProgram starts the server as a process. stop kills it: nobody reads the store again, so it need not be in order.
func startProgram(t testing.TB, program string, cfg local.NATSConfig) (url string, stop func()) {
	t.Helper()
	cfg.Logger = nil
	text, err := json.Marshal(cfg) //nolint:musttag // natsserver decodes the same type
	require.NoError(t, err)
	cmd := exec.Command(program)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	stop = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	_, err = fmt.Fprintf(stdin, "%s\n", text)
	if err == nil {
		url, err = bufio.NewReader(stdout).ReadString('\n')
	}
	if err != nil {
		stop()
		require.NoError(t, err, "the NATS server %s does not start", program)
	}
	return strings.TrimSpace(url), stop
}

// closeConn closes the connection and waits until it is closed, so that no goroutine is left at the end of the test.
func closeConn(conn *nats.Conn) {
	if conn.IsClosed() {
		return
	}
	closed := conn.StatusChanged(nats.CLOSED)
	conn.Close()
	<-closed
}
