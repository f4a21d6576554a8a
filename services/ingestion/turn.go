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

// standbyPollInterval is the time between two checks of a standby whether the slot is free.
const standbyPollInterval = 500 * time.Millisecond

// natsGracePeriod is how long the leader may be without NATS. After that it gives the slot back, because a standby may
// reach NATS.
const natsGracePeriod = 5 * time.Second

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
	// end ends the turn with a reason, and closes done.
	end  context.CancelCauseFunc
	done <-chan struct{}
}

// withContext returns a context that also ends with the turn.
func (t *turn) withContext(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, end := context.WithCancelCause(ctx)
	stop := make(chan struct{})
	go func() {
		select {
		case <-t.done:
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
	turn      atomic.Pointer[turn]
	isStandby atomic.Bool
}

// current returns the replica's turn, nil if it is not the leader.
func (t *turns) current() *turn { return t.turn.Load() }

func (t *turns) role() string {
	switch {
	case t.current() != nil:
		return roleActive
	case t.isStandby.Load():
		return roleStandby
	default:
		return ""
	}
}

func (t *turns) report(report metrics.Report) {
	active := 0.0
	if t.role() == roleActive {
		active = 1
	}
	report(metrics.IngestionActive, active)
}

// standBy returns when no process reads the slot, or when ctx ends.
func (in *ingester) standBy(ctx context.Context) {
	if !in.turns.isStandby.Swap(true) {
		in.logger.InfoContext(ctx, "standing by: another ingestion reads the log",
			"slot", in.Slot)
	}
	for in.sleep(ctx, standbyPollInterval) {
		taken, err := in.currentSchema().source.InUse(ctx, in.pool)
		if err != nil && ctx.Err() == nil {
			in.logger.WarnContext(ctx, "could not check the replication slot while standing by", "error", err)
		}
		in.turns.isStandby.Store(err == nil)
		// A replica that cannot publish must not take the slot from one that can.
		if err == nil && !taken && in.mesh.Ready(ctx) == nil {
			return
		}
	}
}

// giveUpSlotWithoutNATS returns an error once NATS has been unreachable for natsGracePeriod, so that the session ends
// and frees the slot.
func (in *ingester) giveUpSlotWithoutNATS(ctx context.Context) error {
	var away time.Time
	for in.sleep(ctx, time.Second) {
		switch {
		case in.mesh.Ready(ctx) == nil:
			away = time.Time{}
		case away.IsZero():
			away = time.Now()
		case time.Since(away) > natsGracePeriod:
			return fmt.Errorf(
				"NATS was unreachable for %s: gave the replication slot back, so that a replica that reaches NATS "+
					"can take over",
				natsGracePeriod)
		}
	}
	return nil
}

// sleep waits for d. It returns false if ctx ended before.
func (in *ingester) sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
