package wal

import (
	"context"
	"net"
	"strings"
	"syscall"
)

// dial connects so that a server that is gone is detected within about silence, and the slot is freed. Probes detect it
// on an idle connection, and unacknowledged data on a busy one.
func dial(ctx context.Context, network, addr string) (net.Conn, error) {
	d := net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: peerTimeout / 2, Interval: peerTimeout / 10, Count: 5},
	}
	if strings.HasPrefix(network, "tcp") {
		d.Control = func(_, _ string, conn syscall.RawConn) error { return setUnacknowledgedTimeout(conn, peerTimeout) }
	}
	return d.DialContext(ctx, network, addr)
}
