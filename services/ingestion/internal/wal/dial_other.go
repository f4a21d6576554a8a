//go:build !linux

package wal

import (
	"syscall"
	"time"
)

// unacknowledged keeps the system's default.
func unacknowledged(syscall.RawConn, time.Duration) error { return nil }
