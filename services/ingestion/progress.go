package ingestion

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nuid"
)

// position is a transaction of the log: its version, and the time of its commit by the database's clock.
type position struct {
	version   uint64
	committed time.Time
}

// progress is the version up to which the log is captured. Safe for concurrent use.
type progress struct {
	captured atomic.Uint64
}

func (p *progress) reach(to position) {
	for {
		now := p.captured.Load()
		if to.version <= now || p.captured.CompareAndSwap(now, to.version) {
			return
		}
	}
}

func (p *progress) version() uint64 { return p.captured.Load() }

// barrier is a mark in the log, with the position of its transaction.
type barrier struct {
	mark string
	at   position
}

// barriers has the calls that wait for their mark to be captured.
type barriers struct {
	mu      sync.Mutex
	waiting map[string]chan position
}

func newBarriers() *barriers { return &barriers{waiting: map[string]chan position{}} }

func (b *barriers) add(mark string) <-chan position {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := make(chan position, 1)
	b.waiting[mark] = c
	return c
}

func (b *barriers) remove(mark string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.waiting, mark)
}

func (b *barriers) reached(marks []barrier) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range marks {
		if c, ok := b.waiting[m.mark]; ok {
			c <- m.at
			delete(b.waiting, m.mark)
		}
	}
}

// label writes a mark into the log and returns the mark's position once it is captured. Everything that was committed
// before is then in CATALOG, and every read from now on sees it. The version is higher than that of anything published
// before. The end of the log itself is not a safe label: a commit is in the log slightly before other sessions see it.
func (in *ingester) label(ctx context.Context) (position, error) {
	mark := nuid.Next()
	reached := in.barriers.add(mark)
	defer in.barriers.remove(mark)
	if _, err := in.tables().source.Mark(ctx, in.pool, mark); err != nil {
		return position{}, err
	}
	select {
	case at := <-reached:
		return at, in.record(ctx, at)
	case <-ctx.Done():
		return position{}, context.Cause(ctx)
	}
}

// lookAgain is the time between two checks of a call that waits for the leader or for a snapshot.
const lookAgain = 100 * time.Millisecond

// waitCaptured writes a mark into the log. It returns once everything committed before is captured, including what a
// snapshot captures. Any replica may serve it: the leader meets the mark in the log, and another replica sees that the
// slot has passed it.
func (in *ingester) waitCaptured(ctx context.Context) (uint64, error) {
	source := in.tables().source
	mark := nuid.Next()
	reached := in.barriers.add(mark)
	defer in.barriers.remove(mark)
	end, err := source.Mark(ctx, in.pool, mark)
	if err != nil {
		return 0, err
	}
	for {
		select {
		case at := <-reached:
			return at.version, in.awaitWhole(ctx)
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		case <-time.After(lookAgain):
		}
		confirmed, err := source.Confirmed(ctx, in.pool)
		if err != nil {
			return 0, err
		}
		if confirmed >= end {
			epoch, err := in.epoch(ctx)
			if err != nil {
				return 0, err
			}
			return uint64(confirmed) + epoch, in.awaitWhole(ctx)
		}
	}
}

// awaitWhole returns once no snapshot is requested or running, and the products that a change of shared rows concerns
// are read.
func (in *ingester) awaitWhole(ctx context.Context) error {
	for underWay := false; ; underWay = true {
		done, err := in.allRead(ctx)
		switch {
		case err != nil && underWay && ctx.Err() != nil:
			return fmt.Errorf("a snapshot of the catalog is still running: %w", context.Cause(ctx))
		case err != nil:
			return err
		case done:
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("a snapshot of the catalog is still running: %w", context.Cause(ctx))
		case <-time.After(lookAgain):
		}
	}
}
