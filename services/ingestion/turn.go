package ingestion

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/driftless-sync/driftless/services/ingestion/internal/wal"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/metrics"
)

// Roles of a replica, as /readyz tells them.
const (
	roleActive  = "active"
	roleStandby = "standby"
)

// standbyPoll is how often a replica that stands by looks whether the slot is free.
const standbyPoll = 500 * time.Millisecond

// natsPatience is how long the replica that reads the log may be without NATS before it gives the slot back: another
// may reach it.
const natsPatience = 5 * time.Second

// turn is a replica's time as the one that reads the log and publishes what it reads: from when it won the slot until
// the reading ends.
type turn struct {
	fence   *mesh.Fence
	reader  *wal.Reader
	schema  *schema
	history history
	// unwatched are tables of the publication that nobody watches and that were told of. Only the goroutine that reads
	// the log touches it.
	unwatched map[string]bool
	// end ends it with a reason, and over is closed then.
	end  context.CancelCauseFunc
	over <-chan struct{}
}

// during is a context that ends with the turn, too.
func (t *turn) during(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, end := context.WithCancelCause(ctx)
	stop := make(chan struct{})
	go func() {
		select {
		case <-t.over:
			end(errTurnOver)
		case <-stop:
		case <-ctx.Done():
		}
	}()
	return ctx, sync.OnceFunc(func() {
		close(stop)
		end(context.Canceled)
	})
}

// check ends the turn if an error says that another replica has the next one already, and returns the error.
func (t *turn) check(err error) error {
	if errors.Is(err, mesh.ErrFenced) {
		t.end(err)
	}
	return err
}

// turns is which part the replica plays. The zero value plays none: it is starting, or cannot do what it needs to. Safe
// for concurrent use.
type turns struct {
	turn     atomic.Pointer[turn]
	standing atomic.Bool
}

// mine is the replica's turn; nil if it has none.
func (t *turns) mine() *turn { return t.turn.Load() }

func (t *turns) role() string {
	switch {
	case t.mine() != nil:
		return roleActive
	case t.standing.Load():
		return roleStandby
	default:
		return ""
	}
}

func (t *turns) report(_ context.Context, report metrics.Report) {
	active := 0.0
	if t.role() == roleActive {
		active = 1
	}
	report(metrics.IngestionActive, active)
}

// standBy returns when nobody reads the slot any more, or ctx ends.
func (in *ingester) standBy(ctx context.Context) {
	if !in.turns.standing.Swap(true) {
		in.logger.InfoContext(ctx, "another ingestion reads the log; this one stands by, and takes over when that ends",
			"slot", in.Slot)
	}
	for in.pause(ctx, standbyPoll) {
		taken, err := in.tables().source.InUse(ctx, in.pool)
		if err != nil && ctx.Err() == nil {
			in.logger.WarnContext(ctx, "standing by, but the catalog database does not answer", "error", err)
		}
		in.turns.standing.Store(err == nil)
		// Whoever cannot publish must not take the slot from those who can.
		if err == nil && !taken && in.mesh.Ready(ctx) == nil {
			return
		}
	}
}

// reachNATS returns an error once NATS has been away for so long that the slot is better given back.
func (in *ingester) reachNATS(ctx context.Context) error {
	var away time.Time
	for in.pause(ctx, time.Second) {
		switch {
		case in.mesh.Ready(ctx) == nil:
			away = time.Time{}
		case away.IsZero():
			away = time.Now()
		case time.Since(away) > natsPatience:
			return fmt.Errorf("NATS has been away for %s: giving the replication slot back to whoever reaches it",
				natsPatience)
		}
	}
	return nil
}

// pause waits, and returns false if ctx ended meanwhile.
func (in *ingester) pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
