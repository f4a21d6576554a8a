package ingestion

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pglogrepl"

	"github.com/driftless-sync/driftless/services/ingestion/internal/wal"
	"github.com/driftless-sync/driftless/services/internal/metrics"
)

const (
	// lagInterval is the time between two reads of the slot's lag. It limits the precision of the lag in seconds.
	lagInterval = 5 * time.Second
	// maxSamples bounds the memory while capture makes no progress.
	maxSamples = 1024
	// lagTimeout bounds a reading. A database that does not answer within this time is not reachable.
	lagTimeout = 5 * time.Second
)

// lag is how far the slot is behind the log, even while capture does not run in this process.
type lag struct {
	mu      sync.Mutex
	isKnown bool
	last    wal.Lag
	samples []sample
	// reachable reports whether the database answered the latest reading.
	reachable bool
	// inactive are the other replication slots that nobody reads.
	inactive []wal.InactiveSlot
}

// sample is the end of the log at a time, beyond the confirmed position.
type sample struct {
	at  time.Time
	end pglogrepl.LSN
}

// update adds a reading.
func (l *lag) update(now time.Time, reading wal.Lag) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.isKnown, l.reachable, l.last = true, true, reading
	l.samples = slices.DeleteFunc(l.samples, func(m sample) bool { return m.end <= reading.Confirmed })
	if last := len(l.samples) - 1; reading.End > reading.Confirmed && (last < 0 || l.samples[last].end < reading.End) {
		l.samples = append(l.samples, sample{now, reading.End})
	}
	if len(l.samples) > maxSamples {
		// Drop every second one, but keep the oldest.
		kept := l.samples[:0]
		for i, m := range l.samples {
			if i%2 == 0 {
				kept = append(kept, m)
			}
		}
		l.samples = kept
	}
}

// setUnknown notes that the lag is unknown, and whether the database answered.
func (l *lag) setUnknown(reachable bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.isKnown, l.reachable = false, reachable
}

// setInactive notes the other replication slots that nobody reads; nil if they are unknown.
func (l *lag) setInactive(slots []wal.InactiveSlot) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inactive = slots
}

// age returns how long the oldest unconfirmed part of the log has waited.
func (l *lag) age(now time.Time) time.Duration {
	if len(l.samples) == 0 {
		return 0
	}
	return max(now.Sub(l.samples[0].at), 0)
}

func (l *lag) report(report metrics.Report) {
	l.mu.Lock()
	defer l.mu.Unlock()
	reachable := 0.0
	if l.reachable {
		reachable = 1
	}
	report(metrics.DatabaseReachable, reachable, metrics.Database.With("catalog"))
	for _, s := range l.inactive {
		report(metrics.InactiveSlotRetained, float64(s.Retained), metrics.Slot.With(s.Name))
	}
	if !l.isKnown {
		return
	}
	report(metrics.ReplicationLag, float64(l.last.Behind()))
	report(metrics.ReplicationLagDuration, l.age(time.Now()).Seconds())
	report(metrics.ReplicationRetained, float64(l.last.Retained))
	active := 0.0
	if l.last.Active {
		active = 1
	}
	report(metrics.ReplicationActive, active)
	if l.last.Headroom != nil {
		report(metrics.ReplicationHeadroom, float64(max(*l.last.Headroom, 0)))
	}
}

// watchLag updates the metrics of the slot until ctx ends.
func (in *ingester) watchLag(ctx context.Context) error {
	l := &lag{}
	defer metrics.Observe(l.report, metrics.ReplicationLag, metrics.ReplicationLagDuration, metrics.ReplicationRetained,
		metrics.ReplicationActive, metrics.ReplicationHeadroom, metrics.DatabaseReachable,
		metrics.InactiveSlotRetained)()
	ticker := time.NewTicker(lagInterval)
	defer ticker.Stop()
	for {
		in.readLag(ctx, l)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// readLag reads the slot's lag once, and the other slots.
func (in *ingester) readLag(ctx context.Context, l *lag) {
	reading, cancel := context.WithTimeout(ctx, lagTimeout)
	defer cancel()
	source := in.currentSchema().source
	current, err := source.Lag(reading, in.pool)
	switch {
	case err == nil:
		l.update(time.Now(), current)
	case errors.Is(err, wal.ErrNoSlot):
		l.setUnknown(true)
	case ctx.Err() == nil:
		l.setUnknown(in.pool.Ping(reading) == nil)
		l.setInactive(nil)
		in.logger.WarnContext(ctx, "could not read how far capture is behind", "error", err)
		return
	}
	slots, err := source.InactiveSlots(reading, in.pool)
	if err != nil && ctx.Err() == nil {
		in.logger.WarnContext(ctx, "could not read which replication slots nobody reads", "error", err)
	}
	l.setInactive(slots)
}
