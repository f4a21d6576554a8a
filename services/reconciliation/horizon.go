package reconciliation

import (
	"slices"
	"time"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
)

// captureMark is what ingestion reported once: every commit before upTo was in CATALOG when its last sequence was
// this, and the version that was captured last.
type captureMark struct {
	upTo     time.Time
	sequence uint64
	version  uint64
	// at and revision say which report it is of.
	at       time.Time
	revision uint64
}

// keptMarks bounds how many marks are kept. With one a second the latest half an hour is complete; what is older gets
// sparser.
const keptMarks = 4096

// marks are reports of ingestion, oldest first. By them a sequence of CATALOG, or a version, becomes a time.
type marks []captureMark

// add takes a report of a revision into account; one that was read earlier and comes late says nothing new. It
// reports whether time went back: CATALOG was made again, or the database was restored, and what was said of earlier
// marks holds no more.
func (m *marks) add(r *meshv1.CaptureReport, revision uint64) (back bool) {
	if r.GetCapturedUpTo() == nil {
		return false
	}
	next := captureMark{
		upTo: r.GetCapturedUpTo().
			AsTime(),
		sequence: r.GetCatalogSequence(), version: r.GetVersion(), at: r.GetAt().AsTime(), revision: revision,
	}
	if n := len(*m); n > 0 {
		last := (*m)[n-1]
		switch {
		case next.revision <= last.revision && !next.at.After(last.at):
			return false
		case next.upTo.Before(last.upTo) || next.sequence < last.sequence || next.version < last.version:
			back, *m = true, nil
		case next.upTo.Equal(last.upTo):
			// The same commits; a later sequence proves no more.
			return false
		}
	}
	if *m = append(*m, next); len(*m) > keptMarks {
		m.thin()
	}
	return back
}

// thin drops every other mark of the older half.
func (m *marks) thin() {
	kept := (*m)[:0]
	half := len(*m) / 2
	for i, x := range *m {
		if i >= half || i%2 == 0 {
			kept = append(kept, x)
		}
	}
	*m = kept
}

// before is the time before which every commit is in CATALOG with a lower sequence than this one; zero if that is not
// known.
func (m *marks) before(sequence uint64) time.Time {
	return m.last(func(x captureMark) bool { return x.sequence < sequence })
}

// beforeVersion is the time before which every commit has a lower version than this one; zero if that is not known. A
// report without a version says nothing of it.
func (m *marks) beforeVersion(version uint64) time.Time {
	return m.last(func(x captureMark) bool { return x.version > 0 && x.version < version })
}

func (m *marks) last(ok func(captureMark) bool) time.Time {
	for _, x := range slices.Backward(*m) {
		if ok(x) {
			return x.upTo
		}
	}
	return time.Time{}
}

// convergence follows how far each lane is in Stripe. Not safe for concurrent use.
type convergence struct {
	// known is, by lane, the time before which every commit is done.
	known map[string]time.Time
	// candidate becomes known if nothing has come due until the next look.
	candidate map[string]time.Time
	delivered uint64
}

// lanes of push by what its retries call them.
var lanes = []string{"live", "bulk"}

// backlog is what push has not done at a moment. The parts are read in this order: a change that goes from one to a
// later one in the meantime is in one of them.
type backlog struct {
	// oldest is, by lane, the sequence of CATALOG before which push is done with every message.
	oldest map[string]uint64
	// due counts the retries that have come due and are not dealt with, delivered all deliveries of such.
	due, delivered uint64
	// retries are products that push comes back to later; more reports that these are not all.
	retries []*meshv1.Retry
	more    bool
}

// look takes into account what push has left to do.
func (c *convergence) look(m marks, b backlog) {
	if c.known == nil {
		c.known = map[string]time.Time{}
	}
	// A retry that came due and was scheduled again between the reads is in none of the parts, but it was delivered.
	if b.due == 0 && b.delivered == c.delivered {
		for lane, at := range c.candidate {
			if at.After(c.known[lane]) {
				c.known[lane] = at
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
			if retry.GetLane() != lane || isHeld(retry) {
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

// forget drops all that is known: it was of a history that is no more.
func (c *convergence) forget() { c.known, c.candidate = nil, nil }

// isHeld reports whether a retry is no failure: the guard holds the change, or push creates nothing.
func isHeld(r *meshv1.Retry) bool { return r.GetAttempts() == 0 }
