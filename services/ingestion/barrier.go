package ingestion

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nuid"
)

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

func (b *barriers) notify(marks []barrier) {
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
	if _, err := in.currentSchema().source.Mark(ctx, in.pool, mark); err != nil {
		return position{}, err
	}
	select {
	case at := <-reached:
		return at, in.recordVersion(ctx, at)
	case <-ctx.Done():
		return position{}, context.Cause(ctx)
	}
}

// waitPollInterval is the time between two checks of a call that waits for the leader or for a snapshot.
const waitPollInterval = 100 * time.Millisecond

// waitCaptured writes a mark into the log. It returns once everything committed before is captured, including what a
// snapshot captures. Any replica may serve it: the leader meets the mark in the log, and another replica sees that the
// slot has passed it.
func (in *ingester) waitCaptured(ctx context.Context) (uint64, error) {
	source := in.currentSchema().source
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
			return at.version, in.waitSnapshots(ctx)
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		case <-time.After(waitPollInterval):
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
			return uint64(confirmed) + epoch, in.waitSnapshots(ctx)
		}
	}
}

// waitSnapshots returns once no snapshot is requested or running, and the products that a change of shared rows
// concerns are read.
func (in *ingester) waitSnapshots(ctx context.Context) error {
	for underWay := false; ; underWay = true {
		done, err := in.isAllRead(ctx)
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
		case <-time.After(waitPollInterval):
		}
	}
}
