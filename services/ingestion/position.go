package ingestion

import (
	"sync/atomic"
	"time"
)

// position is a transaction of the log: its version, and the time of its commit by the database's clock.
type position struct {
	version   uint64
	committed time.Time
}

// capturedVersion is the version up to which the log is captured. Safe for concurrent use.
type capturedVersion struct {
	value atomic.Uint64
}

func (v *capturedVersion) advance(to position) {
	for {
		now := v.value.Load()
		if to.version <= now || v.value.CompareAndSwap(now, to.version) {
			return
		}
	}
}

func (v *capturedVersion) version() uint64 { return v.value.Load() }
