package story

import (
	"fmt"
	"slices"
	"strings"
	"time"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
)

// Story is everything that happened to one change of the catalog.
type Story struct {
	Change

	// Steps are in the order of their times.
	Steps []Step
	// Start and End are the times of the first and of the last step.
	Start, End time.Time
}

// Step is one thing that happened.
type Step struct {
	// Title names it: "Captured", "create price mug-eur".
	Title, Tone string
	// Start and End are equal for a moment.
	Start, End time.Time
	// Text has details, Stripe's words among them.
	Text string
	// By is who did it, and Reason why. Empty if that was not said.
	By, Reason string
	// Changes are the changed fields of a change.
	Changes []*controlv1.FieldChange
	// Object, Request and Event are ids of Stripe's.
	Object, Request, Event string
	// Received is when Stripe's event about a call was received. Zero if that is not known.
	Received time.Time
	// Attempts that have failed by then.
	Attempts uint64
	// Next is when the next attempt is due.
	Next time.Time
	// Trace is the id of the trace.
	Trace string
}

// Took returns how long the step took.
func (s Step) Took() time.Duration { return s.End.Sub(s.Start) }

// Tell returns the story of a version. It returns false if the history does not have the change.
func Tell(entries []*controlv1.HistoryEntry, version uint64) (Story, bool) {
	h := newHistory(entries)
	change := h.change(version)
	if change == nil {
		return Story{}, false
	}
	t := &teller{history: h, version: version}
	t.addChange(change)
	for _, e := range h.entries {
		if e.GetVersion() == version {
			t.addEntry(e)
		}
	}
	t.addQueue()
	slices.SortStableFunc(t.steps, func(a, b Step) int { return a.Start.Compare(b.Start) })
	s := Story{Change: h.judge(change), Steps: t.steps, Start: t.steps[0].Start}
	for _, step := range t.steps {
		if step.End.After(s.End) {
			s.End = step.End
		}
	}
	return s, true
}

// teller collects the steps of one version.
type teller struct {
	*history

	version uint64
	steps   []Step
	// ready is when the change was ready for push.
	ready time.Time
	// begun is when push first did something about it. Zero if it has not.
	begun time.Time
}

func (t *teller) add(s Step) { t.steps = append(t.steps, s) }

// note remembers when push first did something.
func (t *teller) note(at time.Time) {
	if t.begun.IsZero() || at.Before(t.begun) {
		t.begun = at
	}
}

// addChange adds the commit and the capture.
func (t *teller) addChange(e *controlv1.HistoryEntry) {
	at := e.GetAt().AsTime()
	t.ready = at
	s := Step{
		Title: "Committed", Start: at, End: at, Changes: e.GetChanges(), Trace: e.GetTraceId(),
	}
	if len(s.Changes) == 0 {
		s.Text = e.GetDetail()
	}
	s.By, s.Reason = e.GetActor(), e.GetReason()
	if !isCommit(e) {
		source, _, _ := strings.Cut(e.GetDetail(), " ")
		s.Title = "Read from the tables"
		s.Text = fmt.Sprintf("By a %s: when it was committed is not known.", source)
		t.add(s)
		return
	}
	t.add(s)
	if captured := e.GetCapturedAt(); captured != nil {
		t.ready = captured.AsTime()
		t.add(Step{
			Title: "Captured",
			Start: at,
			End:   later(at, t.ready),
			Text:  "Ingestion read it from the write-ahead log.",
		})
	}
}

// later returns the later of two times. Clocks of two machines may differ.
func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// addEntry adds what an entry of the version says.
func (t *teller) addEntry(e *controlv1.HistoryEntry) {
	at := e.GetAt().AsTime()
	s := Step{
		Start: at, End: at, Text: e.GetDetail(), Request: e.GetStripeRequestId(), Trace: e.GetTraceId(),
		Attempts: e.GetAttempts(), By: e.GetActor(), Reason: e.GetReason(),
	}
	if next := e.GetNextAttemptAt(); next != nil {
		s.Next = next.AsTime()
	}
	switch e.GetKind() {
	case kindApplied:
		t.addApplied(e)
		return
	case kindFailed:
		s.Title, s.Tone = fmt.Sprintf("Attempt %d failed", e.GetAttempts()), "bad"
	case kindDead:
		s.Title, s.Tone = "Refused", "bad"
	case kindHeld:
		s.Title, s.Tone, s.End = "Held by the guard", "held", t.heldUntil(at)
	case kindApproved:
		s.Title, s.Tone = "Approved", "good"
		if !isLastApproval(e) {
			s.Tone = "held"
		}
	case kindRejected:
		s.Title, s.Tone = "Rejected", "held"
	case kindReleased:
		s.Title = "Released by the guard"
	default:
		return
	}
	t.note(at)
	t.add(s)
}

// addApplied adds the calls of an entry, and their confirmations.
func (t *teller) addApplied(e *controlv1.HistoryEntry) {
	at := e.GetAt().AsTime()
	if len(e.GetSteps()) == 0 {
		t.note(at)
		t.add(Step{Title: "Nothing to write", Tone: "good", Start: at, End: at, Text: "Stripe had this state already."})
	}
	if len(e.GetSteps()) > 0 && e != t.first(t.version, kindApplied) {
		t.add(Step{
			Title: "Written again",
			Start: at,
			End:   at,
			Text:  "Stripe no longer had this state, and was repaired.",
		})
	}
	ends := callEnds(e)
	for i, call := range e.GetSteps() {
		end := ends[i]
		start := end.Add(-call.GetTook().AsDuration())
		t.note(start)
		sent := start.Add(call.GetWaited().AsDuration())
		if waited := call.GetWaited().AsDuration(); waited >= time.Millisecond {
			t.add(Step{
				Title: "Waited for a turn",
				Start: start,
				End:   sent,
				Text:  "So that Stripe's rate limit is kept.",
			})
		}
		t.add(Step{
			Title: call.GetStep(), Tone: "busy", Start: sent, End: end, Object: call.GetObjectId(),
			Request: call.GetStripeRequestId(), Trace: e.GetTraceId(),
		})
		t.addConfirmation(call, end)
	}
	if e.GetNote() != "" {
		t.add(Step{Title: "Note", Start: at, End: at, Text: e.GetNote()})
	}
}

// callEnds returns when each call of an entry was answered. Entries of earlier versions do not have it: their calls
// follow one another, and the entry follows the last one.
func callEnds(e *controlv1.HistoryEntry) []time.Time {
	steps := e.GetSteps()
	out := make([]time.Time, len(steps))
	end := e.GetAt().AsTime()
	for i, s := range slices.Backward(steps) {
		if sent := s.GetSentAt(); sent != nil {
			end = sent.AsTime().Add(s.GetTook().AsDuration() - s.GetWaited().AsDuration())
		}
		out[i] = end
		end = end.Add(-s.GetTook().AsDuration())
	}
	return out
}

// addConfirmation adds Stripe's event about a call: its way to Driftless, and that it was recorded.
func (t *teller) addConfirmation(call *meshv1.AppliedStep, end time.Time) {
	confirmed := t.confirmed[call.GetIdempotencyKey()]
	if confirmed == nil {
		return
	}
	at := confirmed.GetAt().AsTime()
	s := Step{
		Title: "Confirmed by Stripe's event", Tone: "good", Start: end, End: later(end, at), Text: call.GetStep(),
		Event: confirmed.GetStripeEventId(), Trace: confirmed.GetTraceId(),
	}
	if event := t.events[confirmed.GetStripeEventId()]; event != nil {
		s.Received = later(end, event.GetAt().AsTime())
	}
	t.add(s)
}

// heldUntil returns when a hold that began at a time was decided about, that time if it was not.
func (t *teller) heldUntil(at time.Time) time.Time {
	for _, e := range t.entries {
		if e.GetVersion() != t.version || !e.GetAt().AsTime().After(at) {
			continue
		}
		switch e.GetKind() {
		case kindRejected, kindReleased:
			return e.GetAt().AsTime()
		case kindApproved:
			if isLastApproval(e) {
				return e.GetAt().AsTime()
			}
		}
	}
	return at
}

// addQueue adds the wait for push.
func (t *teller) addQueue() {
	if !t.begun.IsZero() && t.begun.After(t.ready) {
		t.add(Step{Title: "Queued", Start: t.ready, End: t.begun, Text: "It waited until push took it."})
	}
}
