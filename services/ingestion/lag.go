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
	// lagEvery is how often the database is asked how far the slot is behind, and so how exact the lag in seconds is.
	lagEvery = 5 * time.Second
	// keptMarks bounds the memory of a capture that stands still.
	keptMarks = 1024
)

// lag is how far the capture is behind, also while it does not run in this process.
type lag struct {
	mu    sync.Mutex
	known bool
	last  wal.Lag
	marks []mark
}

// mark is where the log ended at a time, of what is not confirmed yet.
type mark struct {
	at  time.Time
	end pglogrepl.LSN
}

// saw takes a reading into account.
func (l *lag) saw(now time.Time, reading wal.Lag) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.known, l.last = true, reading
	l.marks = slices.DeleteFunc(l.marks, func(m mark) bool { return m.end <= reading.Confirmed })
	if last := len(l.marks) - 1; reading.End > reading.Confirmed && (last < 0 || l.marks[last].end < reading.End) {
		l.marks = append(l.marks, mark{now, reading.End})
	}
	if len(l.marks) > keptMarks {
		// Every second one goes, the oldest stays.
		kept := l.marks[:0]
		for i, m := range l.marks {
			if i%2 == 0 {
				kept = append(kept, m)
			}
		}
		l.marks = kept
	}
}

// lost says that the database does not tell at the moment.
func (l *lag) lost() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.known = false
}

// age is how long the oldest log has waited that is not confirmed.
func (l *lag) age(now time.Time) time.Duration {
	if len(l.marks) == 0 {
		return 0
	}
	return max(now.Sub(l.marks[0].at), 0)
}

func (l *lag) report(_ context.Context, report metrics.Report) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.known {
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

// watchLag keeps the figures about the slot until ctx ends.
func (in *ingester) watchLag(ctx context.Context) error {
	l := &lag{}
	defer metrics.Observe(l.report, metrics.ReplicationLag, metrics.ReplicationLagDuration, metrics.ReplicationRetained,
		metrics.ReplicationActive, metrics.ReplicationHeadroom)()
	ticker := time.NewTicker(lagEvery)
	defer ticker.Stop()
	for {
		reading, err := in.tables().source.Lag(ctx, in.pool)
		switch {
		case err == nil:
			l.saw(time.Now(), reading)
		case errors.Is(err, wal.ErrNoSlot):
			l.lost()
		case ctx.Err() == nil:
			l.lost()
			in.logger.WarnContext(ctx, "could not ask how far the capture is behind", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}
