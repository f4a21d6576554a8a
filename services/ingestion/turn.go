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

// Roles of a replica, as /readyz reports them.
const (
	roleActive  = "active"
	roleStandby = "standby"
)

// standbyPoll is the time between two checks of a standby whether the slot is free.
const standbyPoll = 500 * time.Millisecond

// natsPatience is how long the leader may be without NATS. After that it gives the slot back, because a standby may
// reach NATS.
const natsPatience = 5 * time.Second

// turn is the time in which a replica is the leader: it reads the log and publishes what it reads. It begins when the
// replica wins the slot, and ends with the session.
type turn struct {
	fence   *mesh.Fence
	reader  *wal.Reader
	schema  *schema
	history history
	// unwatched has the unwatched tables of the publication that were logged. Only the goroutine that reads the log
	// uses it.
	unwatched map[string]bool
	// end ends the turn with a reason, and closes over.
	end  context.CancelCauseFunc
	over <-chan struct{}
}

// during returns a context that also ends with the turn.
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

// check ends the turn if err says that another replica has the next turn. It returns err.
func (t *turn) check(err error) error {
	if errors.Is(err, mesh.ErrFenced) {
		t.end(err)
	}
	return err
}

// turns is the role of the replica. The zero value has no role: the replica is starting, or cannot do its work. Safe
// for concurrent use.
type turns struct {
	turn     atomic.Pointer[turn]
	standing atomic.Bool
}

// mine returns the replica's turn, nil if it is not the leader.
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

// standBy returns when no process reads the slot, or when ctx ends.
func (in *ingester) standBy(ctx context.Context) {
	if !in.turns.standing.Swap(true) {
		in.logger.InfoContext(ctx, "standing by: another ingestion reads the log",
			"slot", in.Slot)
	}
	for in.pause(ctx, standbyPoll) {
		taken, err := in.tables().source.InUse(ctx, in.pool)
		if err != nil && ctx.Err() == nil {
			in.logger.WarnContext(ctx, "could not check the replication slot while standing by", "error", err)
		}
		in.turns.standing.Store(err == nil)
		// A replica that cannot publish must not take the slot from one that can.
		if err == nil && !taken && in.mesh.Ready(ctx) == nil {
			return
		}
	}
}

// reachNATS returns an error once NATS has been unreachable for natsPatience, so that the session ends and frees the
// slot.
func (in *ingester) reachNATS(ctx context.Context) error {
	var away time.Time
	for in.pause(ctx, time.Second) {
		switch {
		case in.mesh.Ready(ctx) == nil:
			away = time.Time{}
		case away.IsZero():
			away = time.Now()
		case time.Since(away) > natsPatience:
			return fmt.Errorf(
				"NATS was unreachable for %s: gave the replication slot back, so that a replica that reaches NATS can take over",
				natsPatience)
		}
	}
	return nil
}

// pause waits for d. It returns false if ctx ended before.
func (in *ingester) pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
