package ingestion

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/driftless-sync/driftless/services/internal/topology"

	"github.com/driftless-sync/driftless/services/internal/mesh"
)

// lookForWhole is how often is looked whether another reading is wanted of which nobody has told this process.
const lookForWhole = 10 * time.Second

// Values of the cursor of whole readings: wanted, "after <product id>", done. It is empty before the first turn.
const (
	wholeWanted = "wanted"
	wholeAfter  = "after "
	wholeDone   = "done"
)

// defaultCompareEvery is the time between two comparisons of all tables if the mapping does not say it.
const defaultCompareEvery = 24 * time.Hour

func (in *ingester) wholeCursor() *mesh.Record {
	return in.mesh.Record(topology.KeySnapshot, in.account)
}

// wholeReading is whether the catalog has to be read as a whole. Safe for concurrent use.
type wholeReading struct {
	// wake has the reader look.
	wake chan struct{}
	// otherHistory: the log is not the one that was captured before, which the next turn has to take into account.
	otherHistory atomic.Bool

	mu sync.Mutex
	// settled: nothing is wanted that the cursor does not say is done. False until it was looked.
	settled bool
	// wants counts the calls of want, so that a reading settles only those before it began.
	wants   int
	reason  string
	failure string
	// since is the revision of the cursor when a reading was wanted last.
	since uint64
	// begun: this process has compared the tables since it started.
	begun bool
	// writes is the count of rows that were written, compared the one before the last comparison, which took so long.
	writes, compared int64
	ended            time.Time
	took             time.Duration
}

func newWholeReading() *wholeReading { return &wholeReading{wake: make(chan struct{}, 1)} }

// wrote takes the count of rows that were written to the tables into account.
func (w *wholeReading) wrote(count int64) {
	w.mu.Lock()
	fresh := count != w.writes
	w.writes = count
	w.mu.Unlock()
	if fresh {
		w.request()
	}
}

// Something was written to the tables: whether the log told all of it, a comparison tells. The wait between two is at
// least restAtLeast, and restFactor times as long as the last one took, so that comparing takes a small part of the
// time however many products there are and however much is written.
const (
	restAtLeast = 2 * time.Second
	restFactor  = 20
)

// rest is how long the tables are left alone after the last comparison, if something was written since; ok is false if
// nothing was.
func (w *wholeReading) rest(now time.Time) (wait time.Duration, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.writes == w.compared {
		return 0, false
	}
	return max(w.ended.Add(max(restAtLeast, restFactor*w.took)).Sub(now), 0), true
}

// breath is how long the next comparison waits although it is wanted: what is uncertain again and again, as each change
// of a partition with too narrow a replica identity is, must not have the tables read all the time.
func (w *wholeReading) breath() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Until(w.ended.Add(min(w.took, time.Minute)))
}

// timed runs a comparison and keeps what rest needs.
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

// request has the reader look whether a reading is wanted.
func (w *wholeReading) request() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// unsettle notes that a reading is wanted, before that is stored.
func (w *wholeReading) unsettle(reason string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.settled = false
	w.wants++
	if reason != "" {
		w.reason = reason
	}
}

// wanted notes the revision of the cursor that says that a reading is wanted.
func (w *wholeReading) wanted(revision uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.settled = false
	w.wants++
	w.since = max(w.since, revision)
}

// knows reports whether a revision of the cursor is not older than the last time that a reading was wanted: a replica
// of the bucket may lag behind.
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

// settle notes that nothing is wanted any more, unless something was since.
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

// trouble is why the tables cannot be read as a whole; empty if they can.
func (w *wholeReading) trouble() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failure
}

// want asks for the whole catalog to be read, with the reason. It returns once that is stored: whatever is uncertain is
// confirmed to the log after that only.
func (in *ingester) want(ctx context.Context, reason string) error {
	in.whole.unsettle(reason)
	revision, err := in.wholeCursor().PutStringAt(ctx, wholeWanted)
	if err != nil {
		return err
	}
	// Again: what looked meanwhile has seen the cursor as it was before.
	in.whole.wanted(revision)
	in.whole.request()
	return nil
}

// readWhole compares the tables with CATALOG whenever that is wanted, and now and then without: at the first start,
// after the slot was lost, the schema or the mapping changed, the log was uncertain; and once after each start, and
// every CompareEvery. One that was interrupted goes on where it was; one during which another became wanted starts
// over. Only the replica that reads the log does it, and every turn begins with a request.
func (in *ingester) readWhole(ctx context.Context) error {
	failed := 0
	for ctx.Err() == nil {
		pause, err := in.compareIfDue(ctx)
		switch {
		case ctx.Err() != nil:
			// It was stopped, and the loop ends.
			continue
		case err == nil:
			failed = 0
		case errors.Is(err, mesh.ErrFenced), errors.Is(err, errTurnOver):
			in.logger.InfoContext(ctx, "leaving the comparison of the tables to the next turn")
			pause = reconnectDelay
		default:
			in.whole.fail("the tables cannot be read as a whole: " + err.Error())
			in.logger.ErrorContext(ctx, "comparing the tables was interrupted; it goes on shortly", "error", err)
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

// compareIfDue compares the tables if that is wanted or due, and returns after what time to look again.
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
		reason = "it was wanted before this start"
	}
	// That another reading is wanted must not be overwritten by the progress of this one. It goes on all the same: were
	// each to start over at once, the last products would never be compared while something is uncertain again and
	// again.
	again := false
	move := func(to string) error {
		if again {
			return nil
		}
		next, err := cursor.CompareAndPutString(ctx, to, revision)
		if errors.Is(err, mesh.ErrConflict) {
			in.logger.InfoContext(ctx, "the catalog has to be read once more after this reading")
			again = true
			return nil
		}
		revision = next
		return err
	}
	c := in.newComparison(t, reason)
	if after != "" {
		// What was read before the interruption is as old as its beginning. Without that it is read again.
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

// comparePeriodically compares the tables if the last comparison is long ago, or was before this process started: what
// changed while nothing captured, and the log does not tell, is found then.
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

// due is how long to wait for the next comparison, of which one is due anyhow after some time, and the reason for it.
func (w *wholeReading) due(anyhow time.Duration) (time.Duration, string) {
	w.mu.Lock()
	begun := w.begun
	w.mu.Unlock()
	rest, written := w.rest(time.Now())
	switch {
	case anyhow <= 0:
		// Also one that is due every minute leaves as much time as it takes.
		return max(w.breath(), 0), reasonPeriodic
	case !begun:
		return 0, reasonStart
	case written && rest <= anyhow:
		return rest, reasonWritten
	default:
		return anyhow, reasonPeriodic
	}
}

// Reasons of comparisons that nothing asked for.
const (
	reasonPeriodic = "periodic"
	reasonStart    = "ingestion started"
	reasonWritten  = "the tables were written"
)

// allRead reports whether no reading of the whole catalog is wanted or under way, in any replica.
func (in *ingester) allRead(ctx context.Context) (bool, error) {
	value, revision, err := in.wholeCursor().GetStringAt(ctx)
	if err != nil || value != wholeDone || !in.whole.knows(revision) {
		return false, err
	}
	owed, err := in.report.owed(ctx)
	return owed == 0, err
}
