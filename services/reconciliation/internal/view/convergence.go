package view

import (
	"slices"
	"time"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
)

// capturePoint is one report of ingestion: every commit before upTo was in CATALOG when the stream's last sequence was
// sequence. version is the version that was captured last.
type capturePoint struct {
	upTo     time.Time
	sequence uint64
	version  uint64
	// at and revision identify the report.
	at       time.Time
	revision uint64
}

// maxPoints is how many points are kept. At one report a second the last half an hour is complete. Older points get
// sparser.
const maxPoints = 4096

// capturePoints are reports of ingestion, oldest first. They convert a sequence of CATALOG, or a version, to a time.
type capturePoints []capturePoint

// add adds a report with its revision in the bucket. It ignores an earlier report that arrives late. It reports whether
// time went back, because CATALOG was created again or the database was restored: conclusions from earlier points are
// then invalid.
func (m *capturePoints) add(r *meshv1.CaptureReport, revision uint64) (back bool) {
	if r.GetCapturedUpTo() == nil {
		return false
	}
	next := capturePoint{
		upTo:     r.GetCapturedUpTo().AsTime(),
		sequence: r.GetCatalogSequence(),
		version:  r.GetVersion(),
		at:       r.GetAt().AsTime(),
		revision: revision,
	}
	if n := len(*m); n > 0 {
		last := (*m)[n-1]
		switch {
		case next.revision <= last.revision && !next.at.After(last.at):
			return false
		case next.upTo.Before(last.upTo) || next.sequence < last.sequence || next.version < last.version:
			back, *m = true, nil
		case next.upTo.Equal(last.upTo):
			// The report covers the same commits. A later sequence proves no more.
			return false
		}
	}
	if *m = append(*m, next); len(*m) > maxPoints {
		m.thin()
	}
	return back
}

// thin drops every other point of the older half.
func (m *capturePoints) thin() {
	kept := (*m)[:0]
	half := len(*m) / 2
	for i, x := range *m {
		if i >= half || i%2 == 0 {
			kept = append(kept, x)
		}
	}
	*m = kept
}

// before returns the time before which every commit is in CATALOG with a lower sequence than this one. Zero if that is
// not known.
func (m *capturePoints) before(sequence uint64) time.Time {
	return m.last(func(x capturePoint) bool { return x.sequence < sequence })
}

// beforeVersion returns the time before which every commit has a lower version than this one. Zero if that is not
// known. Reports without a version are skipped.
func (m *capturePoints) beforeVersion(version uint64) time.Time {
	return m.last(func(x capturePoint) bool { return x.version > 0 && x.version < version })
}

// last returns the time of the latest point that matches.
func (m *capturePoints) last(ok func(capturePoint) bool) time.Time {
	for _, x := range slices.Backward(*m) {
		if ok(x) {
			return x.upTo
		}
	}
	return time.Time{}
}

// convergence tracks, for each lane, up to when every commit is in Stripe. Not safe for concurrent use.
type convergence struct {
	// converged is, by lane, the time before which every commit is done.
	converged map[string]time.Time
	// candidate becomes converged if no retry comes due before the next update.
	candidate map[string]time.Time
	delivered uint64
}

// lanes are push's lanes by the names that its retries use.
var lanes = []string{"live", "bulk"}

// backlog is what push has not done at a moment. Its parts are read in this order, so a change that moves to a later
// part in the meantime is in at least one of them.
type backlog struct {
	// oldest is, by lane, the sequence of CATALOG before which push is done with every message.
	oldest map[string]uint64
	// due counts the retries that have come due and are not processed. delivered counts all deliveries of due retries.
	due, delivered uint64
	// retries are the products that push retries later. more reports that there are others, which may have failed.
	retries []*meshv1.Retry
	more    bool
}

// update takes into account what push has left to do.
func (c *convergence) update(m capturePoints, b backlog) {
	if c.converged == nil {
		c.converged = map[string]time.Time{}
	}
	// A retry that came due and was scheduled again between the reads is in none of the parts, but it was delivered.
	if b.due == 0 && b.delivered == c.delivered {
		for lane, at := range c.candidate {
			if at.After(c.converged[lane]) {
				c.converged[lane] = at
			}
		}
	}
	c.candidate, c.delivered = nil, b.delivered
	if b.due > 0 || b.more {
		return
	}
	c.candidate = map[string]time.Time{}
	for _, lane := range lanes {
		at := m.before(b.oldest[lane])
		for _, retry := range b.retries {
			// A retry without a failure waits for a person, like a change that the guard holds. Push is done with it.
			if retry.GetLane() != lane || !hasFailed(retry) {
				continue
			}
			if bound := m.beforeVersion(retry.GetVersion()); bound.Before(at) {
				at = bound
			}
		}
		if !at.IsZero() {
			c.candidate[lane] = at
		}
	}
}

// reset drops all times, because they belong to a history that no longer exists.
func (c *convergence) reset() { c.converged, c.candidate = nil, nil }
