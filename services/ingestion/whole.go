package ingestion

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/driftless-sync/driftless/services/internal/mesh"
)

// lookForWhole is the time between two checks whether another process has requested a snapshot.
const lookForWhole = 10 * time.Second

// Values of the record of snapshots: wanted, "after <product id>", done. The record is empty before the first turn.
const (
	wholeWanted = "wanted"
	wholeAfter  = "after "
	wholeDone   = "done"
)

// defaultCompareEvery is the time between two comparisons of all tables unless the mapping sets it.
const defaultCompareEvery = 24 * time.Hour

func (in *ingester) wholeCursor() *mesh.Record { return in.mesh.Record("snapshot." + in.account) }

// wholeReading keeps whether a snapshot of the catalog is requested. Safe for concurrent use.
type wholeReading struct {
	// wake makes readWhole check for work.
	wake chan struct{}
	// otherHistory reports whether the log is not the one that was captured before. The next turn must take that into
	// account.
	otherHistory atomic.Bool

	mu sync.Mutex
	// settled reports whether every request is done. It is false until the record was read.
	settled bool
	// wants counts the requests, so that a snapshot completes only those from before it began.
	wants   int
	reason  string
	failure string
	// since is the revision of the record at the last request.
	since uint64
	// begun reports whether this process has compared the tables since it started.
	begun bool
	// writes is the number of rows that were written, and compared is that number before the last comparison.
	writes, compared int64
	ended            time.Time
	took             time.Duration
}

func newWholeReading() *wholeReading { return &wholeReading{wake: make(chan struct{}, 1)} }

// wrote updates the number of rows that were written to the tables.
func (w *wholeReading) wrote(count int64) {
	w.mu.Lock()
	fresh := count != w.writes
	w.writes = count
	w.mu.Unlock()
	if fresh {
		w.request()
	}
}

// A comparison follows writes to the tables, because the log may not have all of them. The delay between two
// comparisons is at least restAtLeast. It is also at least restFactor times as long as the last comparison took. So
// comparing takes a small part of the time, however large the catalog and however many the writes.
const (
	restAtLeast = 2 * time.Second
	restFactor  = 20
)

// rest returns how long to wait after the last comparison before the next one. ok is false if nothing was written
// since.
func (w *wholeReading) rest(now time.Time) (wait time.Duration, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.writes == w.compared {
		return 0, false
	}
	return max(w.ended.Add(max(restAtLeast, restFactor*w.took)).Sub(now), 0), true
}

// breath returns how long a requested comparison must wait after the last one. Some tables are uncertain again with
// each change, such as a partition whose replica identity is too narrow. They must not cause comparisons without a
// pause.
func (w *wholeReading) breath() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Until(w.ended.Add(min(w.took, time.Minute)))
}

// timed runs a comparison and records what rest needs.
func (w *wholeReading) timed(run func() error) error {
	w.mu.Lock()
	writes, begun := w.writes, time.Now()
	w.mu.Unlock()
	err := run()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended, w.took = time.Now(), time.Since(begun)
	if err == nil {
		w.compared, w.begun, w.failure = writes, true, ""
	}
	return err
}

// request makes readWhole check for work.
func (w *wholeReading) request() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// unsettle notes a request before it is stored.
func (w *wholeReading) unsettle(reason string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.settled = false
	w.wants++
	if reason != "" {
		w.reason = reason
	}
}

// wanted notes the revision of the record that has the request.
func (w *wholeReading) wanted(revision uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.settled = false
	w.wants++
	w.since = max(w.since, revision)
}

// knows reports whether a revision of the record is at least that of the last request. A replica of the bucket may lag.
func (w *wholeReading) knows(revision uint64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return revision >= w.since
}

func (w *wholeReading) why() (reason string, wants int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.reason, w.wants
}

// settle notes that the snapshot is done, unless there was another request since.
func (w *wholeReading) settle(wants int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.wants == wants {
		w.settled, w.reason = true, ""
	}
}

func (w *wholeReading) isSettled() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.settled
}

func (w *wholeReading) fail(why string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failure = why
}

// trouble returns why the last comparison failed, empty if it did not.
func (w *wholeReading) trouble() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failure
}

// want requests a snapshot of the whole catalog for a reason. It returns once the request is stored. A transaction that
// is uncertain is confirmed to the log only after that.
func (in *ingester) want(ctx context.Context, reason string) error {
	in.whole.unsettle(reason)
	revision, err := in.wholeCursor().PutStringAt(ctx, wholeWanted)
	if err != nil {
		return err
	}
	// Once more, because a concurrent check may have seen the record as it was before.
	in.whole.wanted(revision)
	in.whole.request()
	return nil
}

// readWhole compares the tables with CATALOG on request, once after each start, and every CompareEvery. Requests come
// at the first start, and after the slot was lost, the schema or the mapping changed, or the log was uncertain. An
// interrupted comparison continues where it was. One during which another is requested starts over. Only the leader
// compares, and every turn begins with a check.
func (in *ingester) readWhole(ctx context.Context) error {
	failed := 0
	for ctx.Err() == nil {
		pause, err := in.compareIfDue(ctx)
		switch {
		case ctx.Err() != nil:
			// The service stops, and the loop ends.
			continue
		case err == nil:
			failed = 0
		case errors.Is(err, mesh.ErrFenced), errors.Is(err, errTurnOver):
			in.logger.InfoContext(ctx, "left the comparison of the tables to the next turn")
			pause = reconnectDelay
		default:
			in.whole.fail("the tables cannot be compared: " + err.Error())
			in.logger.ErrorContext(ctx, "the comparison of the tables was interrupted; it continues shortly",
				"error", err)
			pause = min(reconnectDelay<<min(failed, 10), time.Minute)
			failed++
			if errors.Is(err, errAllRefused) {
				pause = lookForWhole
			}
			in.pause(ctx, pause)
			continue
		}
		select {
		case <-ctx.Done():
		case <-in.whole.wake:
		case <-time.After(pause):
		}
	}
	return nil
}

// compareIfDue compares the tables if that is requested or due. It returns the time to the next check.
func (in *ingester) compareIfDue(ctx context.Context) (time.Duration, error) {
	t := in.turns.mine()
	if t == nil {
		return lookForWhole, nil
	}
	ctx, cancel := t.during(ctx)
	defer cancel()
	pause, err := in.compareDuring(ctx, t)
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, errTurnOver) {
		return pause, cause
	}
	return pause, err
}

func (in *ingester) compareDuring(ctx context.Context, t *turn) (time.Duration, error) {
	reason, wants := in.whole.why()
	cursor := in.wholeCursor()
	value, revision, err := cursor.GetStringAt(ctx)
	if err != nil {
		return 0, err
	}
	if !in.whole.knows(revision) {
		return lookAgain, nil
	}
	if value == wholeDone {
		in.whole.settle(wants)
		return in.comparePeriodically(ctx, t)
	}
	if wait := in.whole.breath(); wait > 0 {
		return wait, nil
	}
	after, _ := strings.CutPrefix(value, wholeAfter)
	if value == wholeWanted {
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
		next, err := cursor.CompareAndPutString(ctx, to, revision)
		if errors.Is(err, mesh.ErrMoved) {
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
		if c.startedAt = in.report.begunAt(); !c.startedAt.IsZero() {
			c.after = after
		}
	}
	c.first = !in.report.everCompared()
	c.moved = func(last string) error { return move(wholeAfter + last) }
	if err := in.whole.timed(func() error { return c.run(ctx) }); err != nil {
		return 0, err
	}
	if err := move(wholeDone); err != nil {
		return 0, err
	}
	if !again {
		in.whole.settle(wants)
	}
	return 0, nil
}

// comparePeriodically compares the tables if the last comparison is too old, or was before this process started. It
// detects changes that were made while nothing captured and that the log does not have.
func (in *ingester) comparePeriodically(ctx context.Context, t *turn) (time.Duration, error) {
	every, fast := defaultCompareEvery, false
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
	wait, reason := in.whole.due(in.report.comparedAt().Add(every).Sub(now))
	if wait > 0 {
		return min(wait, lookForWhole), nil
	}
	c := in.newComparison(t, reason)
	c.expectsNothing = !fast
	c.gently = !fast
	if reason == reasonPeriodic {
		c.after, c.startedAt = in.report.interrupted(reason)
	}
	return 0, in.whole.timed(func() error { return c.run(ctx) })
}

// due returns how long to wait for the next comparison, and its reason. anyhow is the time to the next periodic one.
func (w *wholeReading) due(anyhow time.Duration) (time.Duration, string) {
	w.mu.Lock()
	begun := w.begun
	w.mu.Unlock()
	rest, written := w.rest(time.Now())
	switch {
	case anyhow <= 0:
		// Even a comparison that is due every minute leaves as much time as it takes.
		return max(w.breath(), 0), reasonPeriodic
	case !begun:
		return 0, reasonStart
	case written && rest <= anyhow:
		return rest, reasonWritten
	default:
		return anyhow, reasonPeriodic
	}
}

// Reasons of comparisons that were not requested.
const (
	reasonPeriodic = "periodic"
	reasonStart    = "ingestion started"
	reasonWritten  = "the tables were written"
)

// allRead reports whether no snapshot is requested or running in any replica, and no reread is outstanding.
func (in *ingester) allRead(ctx context.Context) (bool, error) {
	value, revision, err := in.wholeCursor().GetStringAt(ctx)
	if err != nil || value != wholeDone || !in.whole.knows(revision) {
		return false, err
	}
	owed, err := in.report.owed(ctx)
	return owed == 0, err
}
