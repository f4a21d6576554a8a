//go:build !linux

package wal

import (
	"syscall"
	"time"
)

// setUnacknowledgedTimeout keeps the system's default.
func setUnacknowledgedTimeout(syscall.RawConn, time.Duration) error { return nil }
