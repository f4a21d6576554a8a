// Package local runs the two servers that the mesh needs: an embedded NATS server with JetStream, and a private
// Postgres. It is for `driftless up` and for tests. In production the operator runs both, and this package is not
// linked.
//
// Both servers keep their state below one data directory. They survive a restart and a kill -9. They listen only on the
// loopback interface, and refuse a data directory that another process uses.
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
	// ErrInUse reports that another process uses the data directory.
	ErrInUse = errors.New("data directory is in use")

	// ErrPortTaken reports that another program listens on the port.
	ErrPortTaken = errors.New("port is in use")

	// ErrNoPostgres reports that no PostgreSQL server of a suitable version is installed.
	ErrNoPostgres = errors.New("no suitable PostgreSQL server is installed")
)

const loopback = "127.0.0.1"

// checkPort returns ErrPortTaken if the port is in use. The answer may be outdated a moment later; it serves the error
// message.
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

// freePort returns a port that was free a moment ago.
func freePort(ctx context.Context) (int, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(loopback, "0"))
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil //nolint:forcetypeassert // a TCP listener has no other
}
