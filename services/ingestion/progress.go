package ingestion

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nuid"
)

// position is a transaction of the log: the version that it stands for, and when it was committed by the database's
// clock.
type position struct {
	version   uint64
	committed time.Time
}

// progress is how far the log has been captured. Safe for concurrent use.
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

// barrier is a mark in the log, with the transaction that carried it.
type barrier struct {
	mark string
	at   position
}

// barriers are those who wait for their mark in the log to be captured.
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

// label marks the log and returns once the mark is captured: everything committed before is in CATALOG, and a reading
// from now on sees it. Its version is higher than that of anything published before. The end of the log itself may not
// serve as a label: a commit is in the log a moment before others see it.
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

// lookAgain is how often a call that waits looks how far others are: the one that reads the log, the reading of the
// whole catalog.
const lookAgain = 100 * time.Millisecond

// waitCaptured writes a mark into the log and returns when it, and so everything committed before, is captured, what is
// captured by reading the catalog as a whole included. Any replica may: the one that reads the log comes upon the mark,
// and another sees by the slot that it has been passed.
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

// awaitWhole returns once no reading of the whole catalog is wanted or under way, and what a change of shared rows
// concerns is read.
func (in *ingester) awaitWhole(ctx context.Context) error {
	for underWay := false; ; underWay = true {
		done, err := in.allRead(ctx)
		switch {
		case err != nil && underWay && ctx.Err() != nil:
			return fmt.Errorf("the catalog is still being read as a whole: %w", context.Cause(ctx))
		case err != nil:
			return err
		case done:
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the catalog is still being read as a whole: %w", context.Cause(ctx))
		case <-time.After(lookAgain):
		}
	}
}
