package reconciliation

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

const (
	// behindAfter is how old the last report of ingestion, and what it reports, may be. It reports about once a second.
	behindAfter = 5 * time.Second
	// unseenAfter is how long a service may ask for no message before it counts as not running.
	unseenAfter = 5 * time.Second
	// stripeBehindAfter is how long an event of Stripe may wait to be taken into account.
	stripeBehindAfter = 30 * time.Second
	// pollInterval is the interval of a pull that does not report one: the default of the setting.
	pollInterval = 10 * time.Minute
	// pollSlack is by how much a read of Stripe's events may be late at least; a tenth of the interval if that is more.
	pollSlack = 15 * time.Second
)

// evidence is what an answer about equality rests on. All times are by the NATS server's clock.
type evidence struct {
	now time.Time
	// capture is ingestion's last report, nil if there is none.
	capture *meshv1.CaptureReport
	// ledger is the time before which every commit is in the ledger, as far as it was captured; zero if that is not
	// known.
	ledger time.Time
	// poll is pull's last report, nil if there is none, and polled is when it was written.
	poll   *meshv1.PollReport
	polled time.Time
	paused []*controlv1.PausedService
	// halted is why Stripe does not accept push's key.
	halted     string
	push, pull presence
	// stripeBehind is for how long the oldest event of Stripe that is not taken into account has waited.
	stripeBehind time.Duration
}

// presence is what the consumers of a service tell of it.
type presence struct {
	// unseen is for how long no process of the service has asked for messages.
	unseen time.Duration
	// waiting counts the messages that it has not dealt with.
	waiting uint64
}

// equality says up to when equality is known, and why it is not known now if that is so.
func (e evidence) equality() *controlv1.Equality {
	out := &controlv1.Equality{
		Capture: e.capture, UnwatchedTables: e.capture.GetUnwatchedTables(),
		TablesComparedAt: e.capture.GetCompared().GetStartedAt(), At: timestamppb.New(e.now),
	}
	if asOf := e.asOf(); !asOf.IsZero() {
		out.AsOf = timestamppb.New(asOf)
	}
	if read := e.stripeRead(); !read.IsZero() {
		out.StripeAsOf = timestamppb.New(read)
	}
	var why []string
	for _, reason := range []string{e.captureUnknown(), e.pullUnknown(), e.pushUnknown()} {
		if reason != "" {
			why = append(why, reason)
		}
	}
	out.Unknown = strings.Join(why, "; ")
	return out
}

// asOf is the time before which every commit is taken into account; zero if that is not known.
func (e evidence) asOf() time.Time {
	captured := e.capture.GetCapturedUpTo()
	if captured == nil || e.ledger.IsZero() {
		return time.Time{}
	}
	if at := captured.AsTime(); at.Before(e.ledger) {
		return at
	}
	return e.ledger
}

// captureUnknown says why it is not known what the catalog holds now; "" if it is known.
func (e evidence) captureUnknown() string {
	r := e.capture
	if p := e.pausedSince(topology.Ingestion); p != "" {
		return p
	}
	if r.GetAt() == nil {
		return "no ingestion has ever reported: is it running?"
	}
	if age := e.now.Sub(r.GetAt().AsTime()); age > behindAfter {
		last := ""
		if r.GetState() == meshv1.CaptureState_CAPTURE_STATE_STOPPED {
			last = ", it had stopped" + because(r.GetReason())
		}
		return fmt.Sprintf("no ingestion runs (last report %s ago%s)", spoken(age), last)
	} else if age < -behindAfter {
		return fmt.Sprintf(
			"the last report of ingestion is of a time %s ahead: the clock of the NATS server was set back",
			spoken(-age))
	}
	switch r.GetState() {
	case meshv1.CaptureState_CAPTURE_STATE_READING:
	case meshv1.CaptureState_CAPTURE_STATE_PAUSED:
		return "ingestion is paused by an operator"
	case meshv1.CaptureState_CAPTURE_STATE_STOPPED:
		return "capture is stopped" + because(r.GetReason())
	case meshv1.CaptureState_CAPTURE_STATE_READING_TABLES:
		return e.readingTables()
	case meshv1.CaptureState_CAPTURE_STATE_STARTING:
		return "ingestion is starting" + inBrackets(r.GetReason())
	case meshv1.CaptureState_CAPTURE_STATE_UNSPECIFIED:
		return "ingestion does not say whether it captures"
	}
	if r.GetCapturedUpTo() == nil {
		return e.readingTables()
	}
	if behind := e.now.Sub(r.GetCapturedUpTo().AsTime()); behind > behindAfter {
		return "capture is " + spoken(behind) + " behind" + inBrackets(r.GetReason())
	}
	switch {
	case e.ledger.IsZero():
		return "reconciliation has yet to read what is captured"
	case e.now.Sub(e.ledger) > behindAfter:
		return "reconciliation is " + spoken(e.now.Sub(e.ledger)) + " behind with reading what is captured"
	}
	return ""
}

// readingTables says how far the read of the tables is without which the catalog is not known.
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
			thousands(running.GetProducts()),
			thousands(max(running.GetExpected(), running.GetProducts())),
		)
	default:
		words += fmt.Sprintf(" (%s products so far)", thousands(running.GetProducts()))
	}
	if reason := e.capture.GetReason(); reason != "" {
		words += ": " + reason
	}
	return words
}

// stripeRead is when Stripe's events were last read to their end; zero if they never were.
func (e evidence) stripeRead() time.Time {
	if e.poll.GetAt() == nil {
		return time.Time{}
	}
	if e.poll.GetError() == "" {
		return e.polled
	}
	// The report was written when the last attempt failed. The times in it are by the clock of pull's host.
	return e.polled.Add(-max(e.poll.GetFailedAt().AsTime().Sub(e.poll.GetAt().AsTime()), 0))
}

// pullUnknown says why it is not known what Stripe holds now; "" if it is known, to within the interval of the reads.
func (e evidence) pullUnknown() string {
	if p := e.pausedSince(topology.Pull); p != "" {
		return p
	}
	if e.pull.unseen > unseenAfter {
		return "no pull runs (no process has asked for its messages for " + spoken(e.pull.unseen) + ")"
	}
	read := e.stripeRead()
	switch failure := e.poll.GetError(); {
	case read.IsZero() && failure != "":
		return "Stripe's events cannot be read: " + failure
	case read.IsZero():
		return "Stripe's events were never read"
	default:
		interval := pollInterval
		if d := e.poll.GetInterval().AsDuration(); d > 0 {
			interval = d
		}
		late := e.now.Sub(read) > interval+max(pollSlack, interval/10)
		switch {
		case late && failure != "":
			return fmt.Sprintf(
				"Stripe's events cannot be read (last read %s ago): %s",
				spoken(e.now.Sub(read)),
				failure,
			)
		case late:
			return fmt.Sprintf(
				"Stripe's events were last read %s ago, and are to be read every %s",
				spoken(e.now.Sub(read)),
				spoken(interval),
			)
		}
	}
	if e.stripeBehind > stripeBehindAfter {
		return "events of Stripe have waited for " + spoken(e.stripeBehind) + " to be taken into account"
	}
	return ""
}

// pushUnknown says why what is in the catalog may not come to Stripe; "" if nothing stops it.
func (e evidence) pushUnknown() string {
	if e.halted != "" {
		return "push is halted: " + e.halted
	}
	if e.push.waiting == 0 {
		return ""
	}
	waiting := fmt.Sprintf("%s messages wait for it", thousands(e.push.waiting))
	if e.push.waiting == 1 {
		waiting = "a message waits for it"
	}
	if p := e.pausedSince(topology.Push); p != "" {
		return p + ", and " + waiting
	}
	if e.push.unseen > unseenAfter {
		return "no push runs (no process has asked for its messages for " + spoken(e.push.unseen) + "), and " + waiting
	}
	return ""
}

// pausedSince says since when an operator has paused a service; "" if none has.
func (e evidence) pausedSince(service string) string {
	for _, p := range e.paused {
		if p.GetService() == service {
			return service + " is paused since " + p.GetSince().
				AsTime().
				UTC().
				Format(time.TimeOnly) +
				" UTC by an operator"
		}
	}
	return ""
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}

func inBrackets(reason string) string {
	if reason == "" {
		return ""
	}
	return " (" + reason + ")"
}

// spoken is a duration as people say it: "21 s", "3m20s".
func spoken(d time.Duration) string {
	d = d.Round(time.Second)
	if d < 2*time.Minute {
		return strconv.Itoa(int(d/time.Second)) + " s"
	}
	return d.String()
}

// thousands writes a number with commas.
func thousands(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
