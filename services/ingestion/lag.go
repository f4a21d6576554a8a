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
)

// lag is how far the slot is behind the log, even while capture does not run in this process.
type lag struct {
	mu      sync.Mutex
	isKnown bool
	last    wal.Lag
	samples []sample
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
	l.isKnown, l.last = true, reading
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

// setUnknown notes that the lag is unknown.
func (l *lag) setUnknown() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.isKnown = false
}

// age returns how long the oldest unconfirmed part of the log has waited.
func (l *lag) age(now time.Time) time.Duration {
	if len(l.samples) == 0 {
		return 0
	}
	return max(now.Sub(l.samples[0].at), 0)
}

func (l *lag) report(_ context.Context, report metrics.Report) {
	l.mu.Lock()
	defer l.mu.Unlock()
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
		metrics.ReplicationActive, metrics.ReplicationHeadroom)()
	ticker := time.NewTicker(lagInterval)
	defer ticker.Stop()
	for {
		reading, err := in.currentSchema().source.Lag(ctx, in.pool)
		switch {
		case err == nil:
			l.update(time.Now(), reading)
		case errors.Is(err, wal.ErrNoSlot):
			l.setUnknown()
		case ctx.Err() == nil:
			l.setUnknown()
			in.logger.WarnContext(ctx, "could not read how far capture is behind", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}
