package wal

import (
	"context"
	"net"
	"strings"
	"syscall"
)

// dial connects so that a server which is gone without a word, and with it the slot, is noticed within about silence:
// when nothing is on its way by probes, else by what is not acknowledged.
func dial(ctx context.Context, network, addr string) (net.Conn, error) {
	d := net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: silence / 2, Interval: silence / 10, Count: 5},
	}
	if strings.HasPrefix(network, "tcp") {
		d.Control = func(_, _ string, conn syscall.RawConn) error { return unacknowledged(conn, silence) }
	}
	return d.DialContext(ctx, network, addr)
}
