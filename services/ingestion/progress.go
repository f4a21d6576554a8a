package ingestion

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/nats-io/nuid"
)

// progress is how far the log has been captured. A state read from the database now may be labelled with it: every
// change up to it was seen by a reading before, so a later one sees it too. The end of the log itself may not serve
// as a label: a commit is in the log a moment before others see it.
type progress struct {
	captured atomic.Uint64
}

func (p *progress) reach(lsn pglogrepl.LSN) {
	for {
		now := p.captured.Load()
		if uint64(lsn) <= now || p.captured.CompareAndSwap(now, uint64(lsn)) {
			return
		}
	}
}

func (p *progress) label() uint64 { return p.captured.Load() }

// barriers are those who wait for their mark in the log to be captured.
type barriers struct {
	mu      sync.Mutex
	waiting map[string]chan uint64
}

func newBarriers() *barriers { return &barriers{waiting: map[string]chan uint64{}} }

func (b *barriers) add(mark string) <-chan uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := make(chan uint64, 1)
	b.waiting[mark] = c
	return c
}

func (b *barriers) remove(mark string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.waiting, mark)
}

func (b *barriers) reached(marks []string, lsn uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range marks {
		if c, ok := b.waiting[m]; ok {
			c <- lsn
			delete(b.waiting, m)
		}
	}
}

// lookAgain is how often a call that waits looks how far others are: the one that reads the log, the reading of the whole
// catalog.
const lookAgain = 100 * time.Millisecond

// waitCaptured writes a mark into the log and returns when it, and so everything committed before, is captured, what is
// captured by reading the catalog as a whole included. Any replica may: the one that reads the log comes upon the mark, and
// another sees by the slot that it has been passed.
func (in *ingester) waitCaptured(ctx context.Context) (uint64, error) {
	mark := nuid.Next()
	reached := in.barriers.add(mark)
	defer in.barriers.remove(mark)
	end, err := in.source.Mark(ctx, in.pool, mark)
	if err != nil {
		return 0, err
	}
	for {
		select {
		case lsn := <-reached:
			return lsn, in.awaitWhole(ctx)
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		case <-time.After(lookAgain):
		}
		confirmed, err := in.source.Confirmed(ctx, in.pool)
		if err != nil {
			return 0, err
		}
		if confirmed >= end {
			return uint64(confirmed), in.awaitWhole(ctx)
		}
	}
}

// awaitWhole returns once no reading of the whole catalog is wanted or under way.
func (in *ingester) awaitWhole(ctx context.Context) error {
	for underWay := false; ; underWay = true {
		position, err := in.wholeCursor().GetString(ctx)
		switch {
		case err != nil && underWay && ctx.Err() != nil:
			return fmt.Errorf("the catalog is still being read as a whole: %w", context.Cause(ctx))
		case err != nil:
			return err
		case position == wholeDone:
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the catalog is still being read as a whole: %w", context.Cause(ctx))
		case <-time.After(lookAgain):
		}
	}
}
