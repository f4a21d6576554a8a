// Package local runs the two servers the mesh stands on inside or beside this process: an embedded NATS server with
// JetStream, and a private Postgres. It is for `driftless up` and for tests; in production both are somebody else's
// servers and this package is not linked.
//
// Both keep everything below one data directory, survive a restart and a kill -9 on it, listen on the loopback
// interface only, and refuse a data directory that another process uses.
package local

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"
)

var (
	// ErrInUse says that another process runs on the data directory.
	ErrInUse = errors.New("data directory is in use")

	// ErrPortTaken says that another program listens on the wanted port.
	ErrPortTaken = errors.New("port is taken")

	// ErrNoPostgres says that no PostgreSQL server is installed, or none of a version that fits.
	ErrNoPostgres = errors.New("no suitable PostgreSQL server is installed")
)

const loopback = "127.0.0.1"

// checkPort reports ErrPortTaken if nobody could listen there now. The answer can be outdated a moment later; it is
// asked for the sake of the message.
func checkPort(ctx context.Context, host string, port int) error {
	address := net.JoinHostPort(host, strconv.Itoa(port))
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%w: another program listens on %s; stop it or choose another port", ErrPortTaken, address)
	}
	if err != nil {
		return fmt.Errorf("listen on %s: %w", address, err)
	}
	return listener.Close()
}

// freePort finds a port that was free a moment ago.
func freePort(ctx context.Context) (int, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(loopback, "0"))
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil //nolint:forcetypeassert // a TCP listener has no other
}
