package ingestion

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// snapshotPollInterval is the time between two checks whether another process has requested a snapshot.
const snapshotPollInterval = 10 * time.Second

// Values of the record of snapshots: wanted, "after <product id>", done. The record is empty before the first turn.
const (
	snapshotRequested = "wanted"
	snapshotAfter     = "after "
	snapshotDone      = "done"
)

// defaultCompareInterval is the time between two comparisons of all tables unless the mapping sets it.
const defaultCompareInterval = 24 * time.Hour

func (in *ingester) snapshotRecord() *state.Record {
	return in.stores.Record(topology.KeySnapshot, in.account)
}

// snapshotState keeps whether a snapshot of the catalog is requested. Safe for concurrent use.
type snapshotState struct {
	// wake makes runSnapshots check for work.
	wake chan struct{}
	// historyChanged reports whether the log is not the one that was captured before. The next turn must take that into
	// account.
	historyChanged atomic.Bool

	mu sync.Mutex
	// done reports whether every request is done. It is false until the record was read.
	done bool
	// requests counts the requests, so that a snapshot completes only those from before it began.
	requests int
	reason   string
	failure  string
	// requestRevision is the revision of the record at the last request.
	requestRevision uint64
	// hasCompared reports whether this process has compared the tables since it started.
	hasCompared bool
	// writeCount is the number of rows that were written, and comparedWriteCount is that number before the last
	// comparison.
	writeCount, comparedWriteCount int64
	endedAt                        time.Time
	duration                       time.Duration
}

func newSnapshotState() *snapshotState { return &snapshotState{wake: make(chan struct{}, 1)} }

// setWriteCount updates the number of rows that were written to the tables.
func (s *snapshotState) setWriteCount(count int64) {
	s.mu.Lock()
	fresh := count != s.writeCount
	s.writeCount = count
	s.mu.Unlock()
	if fresh {
		s.signal()
	}
}

// A comparison follows writes to the tables, because the log may not have all of them. The delay between two
// comparisons is at least minCompareDelay. It is also at least compareDelayFactor times as long as the last comparison
// took. So comparing takes a small part of the time, however large the catalog and however many the writes.
const (
	minCompareDelay    = 2 * time.Second
	compareDelayFactor = 20
)

// delayAfterWrites returns how long to wait after the last comparison before the next one. ok is false if nothing was
// written since.
func (s *snapshotState) delayAfterWrites(now time.Time) (wait time.Duration, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.writeCount == s.comparedWriteCount {
		return 0, false
	}
	return max(s.endedAt.Add(max(minCompareDelay, compareDelayFactor*s.duration)).Sub(now), 0), true
}

// cooldown returns how long a requested comparison must wait after the last one. Some tables are uncertain again with
// each change, such as a partition whose replica identity is too narrow. They must not cause comparisons without a
// delay.
func (s *snapshotState) cooldown() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Until(s.endedAt.Add(min(s.duration, time.Minute)))
}

// measure runs a comparison and records what delayAfterWrites needs.
func (s *snapshotState) measure(run func() error) error {
	s.mu.Lock()
	writes, begun := s.writeCount, time.Now()
	s.mu.Unlock()
	err := run()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endedAt, s.duration = time.Now(), time.Since(begun)
	if err == nil {
		s.comparedWriteCount, s.hasCompared, s.failure = writes, true, ""
	}
	return err
}

// signal makes runSnapshots check for work.
func (s *snapshotState) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// addRequest notes a request before it is stored.
func (s *snapshotState) addRequest(reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done = false
	s.requests++
	if reason != "" {
		s.reason = reason
	}
}

// noteRevision notes the revision of the record that has the request.
func (s *snapshotState) noteRevision(revision uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done = false
	s.requests++
	s.requestRevision = max(s.requestRevision, revision)
}

// isCurrent reports whether a revision of the record is at least that of the last request. A replica of the bucket may
// lag.
func (s *snapshotState) isCurrent(revision uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return revision >= s.requestRevision
}

func (s *snapshotState) pending() (reason string, requests int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reason, s.requests
}

// markDone notes that the snapshot is done, unless there was another request since.
func (s *snapshotState) markDone(requests int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.requests == requests {
		s.done, s.reason = true, ""
	}
}

func (s *snapshotState) isDone() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.done
}

func (s *snapshotState) setFailure(why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failure = why
}

// lastFailure returns why the last comparison failed, empty if it did not.
func (s *snapshotState) lastFailure() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failure
}

// requestSnapshot requests a snapshot of the whole catalog for a reason. It returns once the request is stored. A
// transaction that is uncertain is confirmed to the log only after that.
func (in *ingester) requestSnapshot(ctx context.Context, reason string) error {
	in.snapshot.addRequest(reason)
	revision, err := in.snapshotRecord().PutStringAt(ctx, snapshotRequested)
	if err != nil {
		return err
	}
	// Once more, because a concurrent check may have seen the record as it was before.
	in.snapshot.noteRevision(revision)
	in.snapshot.signal()
	return nil
}

// runSnapshots compares the tables with CATALOG on request, once after each start, and every CompareEvery. Requests
// come at the first start, and after the slot was lost, the schema or the mapping changed, or the log was uncertain. An
// interrupted comparison continues where it was. One during which another is requested starts over. Only the leader
// compares, and every turn begins with a check.
func (in *ingester) runSnapshots(ctx context.Context) error {
	failed := 0
	for ctx.Err() == nil {
		delay, err := in.compareIfDue(ctx)
		switch {
		case ctx.Err() != nil:
			// The service stops, and the loop ends.
			continue
		case err == nil:
			failed = 0
		case errors.Is(err, mesh.ErrFenced), errors.Is(err, errTurnOver):
			in.logger.InfoContext(ctx, "left the comparison of the tables to the next turn")
			delay = reconnectDelay
		default:
			in.snapshot.setFailure("the tables cannot be compared: " + err.Error())
			in.logger.ErrorContext(ctx, "the comparison of the tables was interrupted; it continues shortly",
				"error", err)
			delay = min(reconnectDelay<<min(failed, 10), time.Minute)
			failed++
			if errors.Is(err, errAllRefused) {
				delay = snapshotPollInterval
			}
			in.sleep(ctx, delay)
			continue
		}
		select {
		case <-ctx.Done():
		case <-in.snapshot.wake:
		case <-time.After(delay):
		}
	}
	return nil
}

// compareIfDue compares the tables if that is requested or due. It returns the time to the next check.
func (in *ingester) compareIfDue(ctx context.Context) (time.Duration, error) {
	t := in.turns.current()
	if t == nil {
		return snapshotPollInterval, nil
	}
	ctx, cancel := t.withContext(ctx)
	defer cancel()
	delay, err := in.compareInTurn(ctx, t)
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, errTurnOver) {
		return delay, cause
	}
	return delay, err
}

func (in *ingester) compareInTurn(ctx context.Context, t *turn) (time.Duration, error) {
	reason, requests := in.snapshot.pending()
	record := in.snapshotRecord()
	value, revision, err := record.GetStringAt(ctx)
	if err != nil {
		return 0, err
	}
	if !in.snapshot.isCurrent(revision) {
		return waitPollInterval, nil
	}
	if value == snapshotDone {
		in.snapshot.markDone(requests)
		return in.comparePeriodically(ctx, t)
	}
	if wait := in.snapshot.cooldown(); wait > 0 {
		return wait, nil
	}
	after, _ := strings.CutPrefix(value, snapshotAfter)
	if value == snapshotRequested {
		after = ""
	}
	if reason == "" {
		reason = "it was requested before this start"
	}
	// The progress of this snapshot must not overwrite another request. This snapshot continues all the same. If each
	// one started over at once, the last products would never be compared while something is uncertain again and again.
	again := false
	move := func(to string) error {
		if again {
			return nil
		}
		next, err := record.CompareAndPutString(ctx, to, revision)
		if errors.Is(err, state.ErrConflict) {
			in.logger.InfoContext(ctx, "another snapshot was requested; it follows this one")
			again = true
			return nil
		}
		revision = next
		return err
	}
	c := in.newComparison(t, reason)
	if after != "" {
		// The part that was read before the interruption is as old as the beginning. If that time is unknown, it is
		// read again.
		if c.startedAt = in.report.comparisonStartedAt(); !c.startedAt.IsZero() {
			c.after = after
		}
	}
	c.isFirst, c.sweepsLost = !in.report.hasCompared(), true
	c.onProgress = func(last string) error { return move(snapshotAfter + last) }
	if err := in.snapshot.measure(func() error { return c.run(ctx) }); err != nil {
		return 0, err
	}
	if err := move(snapshotDone); err != nil {
		return 0, err
	}
	if !again {
		in.snapshot.markDone(requests)
	}
	return 0, nil
}

// comparePeriodically compares the tables if the last comparison is too old, or was before this process started. It
// detects changes that were made while nothing captured and that the log does not have.
func (in *ingester) comparePeriodically(ctx context.Context, t *turn) (time.Duration, error) {
	every, fast := defaultCompareInterval, false
	if in.queries.CompareEvery > 0 {
		every = in.queries.CompareEvery
	}
	if r := in.queries.RereadEvery; r > 0 && r <= every {
		every, fast = r, true
	}
	now, err := in.mesh.Clock().Now(ctx)
	if err != nil {
		return 0, err
	}
	wait, reason := in.snapshot.nextDue(in.report.comparedAt().Add(every).Sub(now))
	if wait > 0 {
		return min(wait, snapshotPollInterval), nil
	}
	c := in.newComparison(t, reason)
	c.countsMissed = !fast
	c.isThrottled = !fast
	c.sweepsLost = !fast && reason != reasonWritten
	if reason == reasonPeriodic {
		c.after, c.startedAt = in.report.resumePoint(reason)
	}
	return 0, in.snapshot.measure(func() error { return c.run(ctx) })
}

// nextDue returns how long to wait for the next comparison, and its reason. periodicIn is the time to the next periodic
// one.
func (s *snapshotState) nextDue(periodicIn time.Duration) (time.Duration, string) {
	s.mu.Lock()
	begun := s.hasCompared
	s.mu.Unlock()
	delay, written := s.delayAfterWrites(time.Now())
	switch {
	case periodicIn <= 0:
		// Even a comparison that is due every minute leaves as much time as it takes.
		return max(s.cooldown(), 0), reasonPeriodic
	case !begun:
		return 0, reasonStart
	case written && delay <= periodicIn:
		return delay, reasonWritten
	default:
		return periodicIn, reasonPeriodic
	}
}

// Reasons of comparisons that were not requested.
const (
	reasonPeriodic = "periodic"
	reasonStart    = "ingestion started"
	reasonWritten  = "the tables were written"
)

// isAllRead reports whether no snapshot is requested or running in any replica, and no reread is outstanding.
func (in *ingester) isAllRead(ctx context.Context) (bool, error) {
	value, revision, err := in.snapshotRecord().GetStringAt(ctx)
	if err != nil || value != snapshotDone || !in.snapshot.isCurrent(revision) {
		return false, err
	}
	outstanding, err := in.report.storedOutstanding(ctx)
	return outstanding == 0, err
}
