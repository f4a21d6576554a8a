package view

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// Limits of the age of the reports and positions that equality rests on.
const (
	// MaxReportAge is the maximum age of ingestion's last report, and of the position in it. Ingestion reports about
	// once a second.
	MaxReportAge = 5 * time.Second
	// maxInactivity is how long a service may request no message before it counts as not running.
	maxInactivity = 5 * time.Second
	// maxEventDelay is how long a Stripe event may wait until it is processed.
	maxEventDelay = 30 * time.Second
	// defaultPollInterval applies if pull does not report its interval. It is the default of the setting.
	defaultPollInterval = 10 * time.Minute
	// minPollSlack is how late a poll of Stripe's events may be. A tenth of the interval applies if that is longer.
	minPollSlack = 15 * time.Second
)

// The beginnings of the reasons why it is not known what Stripe holds. The remedy depends on them.
const (
	NoPullRuns    = "no pull runs"
	PollFails     = "the poll of Stripe's events fails"
	EventsUnread  = "Stripe's events were "
	EventsLost    = "what Stripe holds is not fully known"
	ScanUnread    = "reconciliation has not read everything that the latest scan found"
	EventsWaiting = "Stripe's events have waited "
)

// LatestScan is behind EventsLost if the latest scan has not read everything.
const LatestScan = "; the latest one "

// evidence has the facts that an answer about equality rests on. All times are by the NATS server's clock.
type evidence struct {
	now time.Time
	// capture is ingestion's last report, nil if there is none.
	capture *meshv1.CaptureReport
	// ledger is the time before which every captured commit is in the ledger. Zero if that is not known.
	ledger time.Time
	// ledgerUnknown is why the ledger lacks what was delivered to it. Empty if it has everything.
	ledgerUnknown string
	// linksUnknown is why adopted products cannot be followed in Stripe. Empty if they can.
	linksUnknown string
	// poll is pull's last report, nil if there is none. polled is when the report was written.
	poll   *meshv1.PollReport
	polled time.Time
	// scan is the report of the latest scan, nil if there is none. scanUnread reports whether the ledger lacks what it
	// found.
	scan       *meshv1.ScanReport
	scanUnread bool

	paused []*controlv1.PausedService
	// halted is why Stripe refuses push's key.
	halted     string
	push, pull activity
	// eventDelay is how long the oldest unprocessed Stripe event has waited.
	eventDelay time.Duration
}

// activity is what the consumers of a service show of it.
type activity struct {
	// inactive is how long no process of the service has requested messages.
	inactive time.Duration
	// pending counts the messages that the service has not processed.
	pending uint64
}

// equality returns the time up to which equality is known, and why it is not known now.
func (e evidence) equality() *controlv1.Equality {
	out := &controlv1.Equality{
		Capture:          e.capture,
		UnwatchedTables:  e.capture.GetUnwatchedTables(),
		TablesComparedAt: e.capture.GetCompared().GetStartedAt(),
		At:               timestamppb.New(e.now),
	}
	if asOf := e.asOf(); !asOf.IsZero() {
		out.AsOf = timestamppb.New(asOf)
	}
	if read := e.stripeRead(); !read.IsZero() {
		out.StripeAsOf = timestamppb.New(read)
	}
	out.Unknown = joinReasons(e.ledgerUnknown, e.captureUnknown(), e.pullUnknown(), e.pushUnknown())
	return out
}

// joinReasons joins the reasons that are not empty.
func joinReasons(reasons ...string) string {
	return strings.Join(slices.DeleteFunc(reasons, func(reason string) bool { return reason == "" }), "; ")
}

// asOf returns the time before which every commit is taken into account. Zero if that is not known.
func (e evidence) asOf() time.Time {
	captured := e.capture.GetCapturedUpTo()
	if captured == nil || e.ledger.IsZero() || e.ledgerUnknown != "" {
		return time.Time{}
	}
	if at := captured.AsTime(); at.Before(e.ledger) {
		return at
	}
	return e.ledger
}

// captureUnknown returns why it is not known what the catalog holds now, "" if it is known.
func (e evidence) captureUnknown() string {
	r := e.capture
	if p := e.pausedSince(topology.Ingestion); p != "" {
		return p
	}
	if r.GetAt() == nil {
		return "no ingestion has ever reported: is it running?"
	}
	if age := e.now.Sub(r.GetAt().AsTime()); age > MaxReportAge {
		last := ""
		if r.GetState() == meshv1.CaptureState_CAPTURE_STATE_STOPPED {
			last = ", it had stopped" + withReason(r.GetReason())
		}
		return fmt.Sprintf("no ingestion runs (last report %s ago%s)", formatDuration(age), last)
	} else if age < -MaxReportAge {
		return fmt.Sprintf(
			"the last report of ingestion is %s in the future: the clock of the NATS server was set back",
			formatDuration(-age))
	}
	switch r.GetState() {
	case meshv1.CaptureState_CAPTURE_STATE_READING:
	case meshv1.CaptureState_CAPTURE_STATE_PAUSED:
		return "ingestion is paused by an operator"
	case meshv1.CaptureState_CAPTURE_STATE_STOPPED:
		return "capture is stopped" + withReason(r.GetReason())
	case meshv1.CaptureState_CAPTURE_STATE_READING_TABLES:
		return e.readingTables()
	case meshv1.CaptureState_CAPTURE_STATE_STARTING:
		return "ingestion is starting" + inParentheses(r.GetReason())
	case meshv1.CaptureState_CAPTURE_STATE_UNSPECIFIED:
		return "ingestion does not report whether it captures"
	}
	if r.GetCapturedUpTo() == nil {
		return e.readingTables()
	}
	if behind := e.now.Sub(r.GetCapturedUpTo().AsTime()); behind > MaxReportAge {
		return "capture is " + formatDuration(behind) + " behind" + inParentheses(r.GetReason())
	}
	switch {
	case e.ledger.IsZero():
		return "reconciliation has not read the captured changes yet"
	case e.now.Sub(e.ledger) > MaxReportAge:
		return "reconciliation is " + formatDuration(e.now.Sub(e.ledger)) + " behind in reading the captured changes"
	}
	return ""
}

// readingTables describes the progress of the read of the tables that the catalog's state depends on.
func (e evidence) readingTables() string {
	running := e.capture.GetRunning()
	words := "the tables are being read as a whole"
	if e.capture.GetCapturedUpTo() == nil {
		words = "the catalog is being read for the first time"
	} else if why := running.GetReason(); why != "" {
		words += " since " + why
	}
	switch {
	case running == nil:
	case running.GetExpected() > 0:
		words += fmt.Sprintf(
			" (%s of about %s products)",
			formatCount(running.GetProducts()),
			formatCount(max(running.GetExpected(), running.GetProducts())),
		)
	default:
		words += fmt.Sprintf(" (%s products so far)", formatCount(running.GetProducts()))
	}
	if reason := e.capture.GetReason(); reason != "" {
		words += ": " + reason
	}
	return words
}

// stripeRead returns when Stripe's events were last read to their end. Zero if they never were.
func (e evidence) stripeRead() time.Time {
	if e.poll.GetAt() == nil {
		return time.Time{}
	}
	// The times in the report are by the clock of pull's host.
	return e.polled.Add(-state.PollAge(e.poll))
}

// pullUnknown returns why it is not known what Stripe holds now, "" if it is known to within the poll interval.
func (e evidence) pullUnknown() string {
	if p := e.pausedSince(topology.Pull); p != "" {
		return p
	}
	if e.pull.inactive > maxInactivity {
		return NoPullRuns + " (no process has asked for its messages for " + formatDuration(e.pull.inactive) + ")"
	}
	read := e.stripeRead()
	switch failure := e.poll.GetError(); {
	case read.IsZero() && failure != "":
		return PollFails + ": " + failure
	case read.IsZero():
		return EventsUnread + "never read"
	default:
		interval := defaultPollInterval
		if d := e.poll.GetInterval().AsDuration(); d > 0 {
			interval = d
		}
		late := e.now.Sub(read) > interval+max(minPollSlack, interval/10)
		switch {
		case late && failure != "":
			return fmt.Sprintf(PollFails+" (last read %s ago): %s", formatDuration(e.now.Sub(read)), failure)
		case late:
			return fmt.Sprintf(
				EventsUnread+"last read %s ago; the poll interval is %s",
				formatDuration(e.now.Sub(read)),
				formatDuration(interval),
			)
		}
	}
	if lost := e.lostEvents(); lost != "" {
		return lost
	}
	if e.scanUnread {
		return ScanUnread
	}
	if e.eventDelay > maxEventDelay {
		return EventsWaiting + "for " + formatDuration(e.eventDelay) + " to be processed"
	}
	return e.linksUnknown
}

// lostEvents returns why it is not known what lost events said, "" if none were lost or a scan has read everything
// since.
func (e evidence) lostEvents() string {
	if e.poll.GetLost() == "" || state.HasReadLostEvents(e.scan, e.poll) {
		return ""
	}
	unknown := EventsLost + " (" + e.poll.GetLost() + "); a scan of Stripe has to end"
	switch {
	case e.scan.GetError() != "":
		return unknown + LatestScan + "failed: " + e.scan.GetError()
	case e.scan.GetFinishedAt() != nil && e.scan.GetUnconfirmed() > 0:
		return unknown + LatestScan + "left " + formatCount(e.scan.GetUnconfirmed()) + " objects unread"
	}
	return unknown
}

// pushUnknown returns why the catalog's changes may not reach Stripe, "" if nothing stops them.
func (e evidence) pushUnknown() string {
	if e.halted != "" {
		return "push is halted: " + e.halted
	}
	if e.push.pending == 0 {
		return ""
	}
	waiting := fmt.Sprintf("%s messages wait for it", formatCount(e.push.pending))
	if e.push.pending == 1 {
		waiting = "a message waits for it"
	}
	if p := e.pausedSince(topology.Push); p != "" {
		return p + ", and " + waiting
	}
	if e.push.inactive > maxInactivity {
		return "no push runs (no process has asked for its messages for " + formatDuration(e.push.inactive) +
			"), and " + waiting
	}
	return ""
}

// pausedSince says since when an operator has paused a service, "" if none has.
func (e evidence) pausedSince(service string) string {
	for _, p := range e.paused {
		if p.GetService() == service {
			return service + " is paused since " + FormatClock(p.GetSince().AsTime(), e.now) + " by an operator"
		}
	}
	return ""
}

// withReason writes a reason behind a colon, "" for none.
func withReason(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}

// inParentheses writes a reason in parentheses, "" for none.
func inParentheses(reason string) string {
	if reason == "" {
		return ""
	}
	return " (" + reason + ")"
}

// formatDuration writes a duration in whole seconds: "21 s", "3m20s".
func formatDuration(d time.Duration) string {
	d = d.Round(time.Second)
	if d < 2*time.Minute {
		return strconv.Itoa(int(d/time.Second)) + " s"
	}
	return d.String()
}

// formatCount writes a number with commas between the thousands.
func formatCount(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
