package wal

import (
	"errors"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// setUnacknowledgedTimeout closes a connection if sent data is not acknowledged in time. The system's default is 15
// min.
func setUnacknowledgedTimeout(conn syscall.RawConn, limit time.Duration) error {
	var err error
	failed := conn.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(limit.Milliseconds()))
	})
	return errors.Join(failed, err)
}
