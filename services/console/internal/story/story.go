// Package story derives from a product's history what became of each change of the catalog. It does no I/O.
package story

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
)

// Kinds of entries of the history.
const (
	kindChange    = "catalog_change"
	kindApplied   = "applied"
	kindConfirmed = "confirmed"
	kindEvent     = "stripe_event"
	kindHeld      = "held"
	kindApproved  = "approved"
	kindRejected  = "rejected"
	kindReleased  = "released"
	kindFailed    = "failed"
	kindDead      = "dead"
)

// Change is a change of the catalog, with what became of it.
type Change struct {
	// Entry is the entry of the history about the change.
	Entry *controlv1.HistoryEntry
	// Outcome says in a few words what became of it, and Tone is good only if Stripe has confirmed every call.
	Outcome, Tone string
	// Took is the time from the commit until it was confirmed or written. 0 if it was not, or if the commit is not
	// known.
	Took time.Duration
	// By is the later version that carried the change. 0 if none did.
	By uint64
	// Ended reports that nothing more is to come.
	Ended bool
}

// At returns when the change was committed, or read if that is not known.
func (c Change) At() time.Time { return c.Entry.GetAt().AsTime() }

// Changes returns the changes of a history, latest first. entries are as ListHistory returns them.
func Changes(entries []*controlv1.HistoryEntry) []Change {
	h := newHistory(entries)
	var out []Change
	for _, e := range slices.Backward(h.entries) {
		if e.GetKind() == kindChange && h.change(e.GetVersion()) == e {
			out = append(out, h.judge(e))
		}
	}
	return out
}

// history is a product's history, oldest first.
type history struct {
	entries []*controlv1.HistoryEntry
	// changes are the entries about changes, by version.
	changes map[uint64]*controlv1.HistoryEntry
	// confirmed are the entries of Stripe's confirmations, by the key of the call.
	confirmed map[string]*controlv1.HistoryEntry
	// events are the entries of Stripe's events, by the event's id.
	events map[string]*controlv1.HistoryEntry
}

func newHistory(entries []*controlv1.HistoryEntry) *history {
	h := &history{
		entries:   slices.Clone(entries),
		changes:   map[uint64]*controlv1.HistoryEntry{},
		confirmed: map[string]*controlv1.HistoryEntry{},
		events:    map[string]*controlv1.HistoryEntry{},
	}
	slices.Reverse(h.entries)
	slices.SortStableFunc(h.entries, func(a, b *controlv1.HistoryEntry) int {
		return a.GetAt().AsTime().Compare(b.GetAt().AsTime())
	})
	for _, e := range h.entries {
		switch e.GetKind() {
		case kindChange:
			// A state that was published again under the same version is the same change.
			if h.changes[e.GetVersion()] == nil {
				h.changes[e.GetVersion()] = e
			}
		case kindConfirmed:
			if h.confirmed[e.GetIdempotencyKey()] == nil {
				h.confirmed[e.GetIdempotencyKey()] = e
			}
		case kindEvent:
			h.events[e.GetStripeEventId()] = e
		}
	}
	return h
}

func (h *history) change(version uint64) *controlv1.HistoryEntry { return h.changes[version] }

// decisive returns the last entry of a version that says what became of it, nil if there is none.
func (h *history) decisive(version uint64) *controlv1.HistoryEntry {
	for _, e := range slices.Backward(h.entries) {
		if e.GetVersion() != version {
			continue
		}
		switch e.GetKind() {
		case kindApplied, kindDead, kindHeld, kindRejected, kindReleased, kindFailed:
			return e
		case kindApproved:
			if isLastApproval(e) {
				return e
			}
		}
	}
	return nil
}

// isLastApproval reports whether an approval completes the number that its change needs. Push writes "1 of 2: ann: a
// sale" while another person must approve, and "ignored, because it is not held" if the approval counts for nothing.
func isLastApproval(e *controlv1.HistoryEntry) bool {
	var number, needed int
	n, _ := fmt.Sscanf(e.GetDetail(), "%d of %d:", &number, &needed)
	return n == 2 && number >= needed
}

// first returns the first entry of a version of a kind, nil if there is none.
func (h *history) first(version uint64, kind string) *controlv1.HistoryEntry {
	for _, e := range h.entries {
		if e.GetVersion() == version && e.GetKind() == kind {
			return e
		}
	}
	return nil
}

// carrier returns the first version after another that was written in full, and the first later version. They are 0 if
// there is none.
func (h *history) carrier(version uint64) (applied, later uint64) {
	for _, e := range h.entries {
		v := e.GetVersion()
		if v <= version {
			continue
		}
		if e.GetKind() == kindApplied && (applied == 0 || v < applied) {
			applied = v
		}
		if e.GetKind() == kindChange && (later == 0 || v < later) {
			later = v
		}
	}
	return applied, later
}

// confirmation returns how many calls of an entry Stripe has confirmed, and when the last one was.
func (h *history) confirmation(applied *controlv1.HistoryEntry) (n int, last time.Time) {
	for _, s := range applied.GetSteps() {
		e := h.confirmed[s.GetIdempotencyKey()]
		if e == nil {
			continue
		}
		n++
		if at := e.GetAt().AsTime(); at.After(last) {
			last = at
		}
	}
	return n, last
}

// judge says what became of a change.
func (h *history) judge(e *controlv1.HistoryEntry) Change {
	version := e.GetVersion()
	c := Change{Entry: e}
	carried, later := h.carrier(version)
	kind := h.decisive(version).GetKind()
	if kind != kindApplied && kind != kindDead && carried != 0 {
		c.Outcome, c.By, c.Ended = "carried by a later change", carried, true
		return c
	}
	switch kind {
	case kindApplied:
		// A later one is a repair of what others have changed since.
		h.judgeApplied(&c, h.first(version, kindApplied))
	case kindDead:
		c.Outcome, c.Tone, c.Ended = "refused", "bad", true
	case kindHeld:
		c.Outcome, c.Tone = "held by the guard", "held"
	case kindRejected:
		c.Outcome, c.Tone, c.Ended = "rejected", "held", true
	case kindFailed:
		c.Outcome, c.Tone = "failing", "bad"
	case kindApproved:
		c.Outcome, c.Tone = "approved, on its way", "busy"
	case kindReleased:
		c.Outcome, c.Tone = "let pass by the guard, on its way", "busy"
	default:
		c.Outcome, c.Tone = "on its way", "busy"
	}
	if later != 0 && !c.Ended && kind != kindApplied {
		c.Outcome, c.Tone, c.By = "superseded, a later change carries it", "", later
	}
	return c
}

// judgeApplied says how far a change is that was written.
func (h *history) judgeApplied(c *Change, applied *controlv1.HistoryEntry) {
	n, last := h.confirmation(applied)
	at := applied.GetAt().AsTime()
	switch calls := len(applied.GetSteps()); {
	case calls == 0:
		c.Outcome, c.Tone, c.Ended = "nothing to write", "good", true
	case n == calls:
		c.Outcome, c.Tone, c.Ended = "confirmed", "good", true
		at = last
	default:
		c.Outcome, c.Tone = "written, not confirmed yet", "busy"
	}
	if isCommit(c.Entry) {
		c.Took = max(at.Sub(c.At()), 0)
	}
}

// isCommit reports whether the time of a change is that of its commit. States that were read from the tables have the
// time at which they were published.
func isCommit(e *controlv1.HistoryEntry) bool {
	return strings.HasPrefix(cmp.Or(e.GetDetail(), "wal"), "wal")
}
