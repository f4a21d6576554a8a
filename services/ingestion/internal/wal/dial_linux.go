package wal

import (
	"errors"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// unacknowledged has a connection fail when what was sent is not acknowledged in time; the system's own limit is a
// quarter of an hour.
func unacknowledged(conn syscall.RawConn, limit time.Duration) error {
	var err error
	failed := conn.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(limit.Milliseconds()))
	})
	return errors.Join(failed, err)
}
