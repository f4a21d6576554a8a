package now

import (
	"fmt"
	"strings"
	"time"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/console/internal/view"
)

// sentence is what the page says about the whole.
type sentence struct {
	// tone is good only if both sides are known to be equal.
	tone string
	text string
	// basis says up to when that is known.
	basis string
}

// at returns the time of a status, by the NATS server's clock as the times in it.
func at(s *controlv1.GetStatusResponse) time.Time { return s.GetEquality().GetAt().AsTime() }

// summarize says how many products are equal and what is wrong with the others: "39,981 of 40,000 are equal. 12 differ,
// the oldest for 4 min. 7 are refused." It says equal without more only if it is known of the tables and of Stripe,
// now.
func summarize(s *controlv1.GetStatusResponse) sentence {
	differ := s.GetPending() + s.GetDrifted()
	all := s.GetInSync() + differ + s.GetDead() + s.GetHeld()
	var out sentence
	unknown := s.GetEquality().GetUnknown()
	switch {
	case s.GetEquality() == nil:
		unknown = "reconciliation does not say up to when it knows"
	case unknown == "" && s.GetEquality().GetAsOf() == nil:
		unknown = "the tables were not read yet"
	}
	parts := []string{}
	switch {
	case all == 0:
		parts = append(parts, "The catalog has no products.")
	case s.GetInSync() == all && all == 1:
		parts = append(parts, "The only product is equal.")
	case s.GetInSync() == all:
		parts = append(parts, "All "+view.Count(all)+" products are equal.")
	default:
		parts = append(parts, view.Count(s.GetInSync())+" of "+view.Count(all)+" are equal.")
	}
	if differ > 0 {
		text := view.Count(differ) + verb(differ, " differs", " differ")
		if since := s.GetOldestDifferenceAt(); since != nil {
			text += ", the oldest for " + view.Duration(max(at(s).Sub(since.AsTime()), 0))
		}
		parts = append(parts, text+".")
	}
	if n := s.GetHeld(); n > 0 {
		parts = append(parts, view.Count(n)+verb(n, " waits", " wait")+" for an approval.")
	}
	if n := s.GetDead(); n > 0 {
		parts = append(parts, view.Count(n)+verb(n, " is", " are")+" refused.")
	}
	out.text = strings.Join(parts, " ")
	switch {
	case unknown != "":
		out.tone = "held"
		out.text = "It is not known whether both sides are equal now: " + unknown + ". As far as is known: " + out.text
	case s.GetDead() > 0 || s.GetDrifted() > 0 || s.GetHalted() != "":
		out.tone = "bad"
	case len(s.GetProblems()) > 0:
		out.tone = "held"
	case differ > 0:
		out.tone = "busy"
	default:
		out.tone = "good"
	}
	out.basis = basis(s)
	return out
}

func verb(n uint64, one, more string) string {
	if n == 1 {
		return one
	}
	return more
}

// basis says up to when the tables and Stripe are known.
func basis(s *controlv1.GetStatusResponse) string {
	e := s.GetEquality()
	since := func(what string, t interface{ AsTime() time.Time }, has bool) string {
		if !has {
			return what + " not read yet"
		}
		return what + " as of " + view.Since(at(s), t.AsTime())
	}
	text := fmt.Sprintf("%s; %s.", since("Tables", e.GetAsOf(), e.GetAsOf() != nil),
		since("Stripe's events", e.GetStripeAsOf(), e.GetStripeAsOf() != nil))
	if t := e.GetTablesComparedAt(); t != nil {
		text += " All rows were last compared " + view.Since(at(s), t.AsTime()) + "."
	}
	if n := len(e.GetUnwatchedTables()); n > 0 {
		text += " Changes of " + strings.Join(e.GetUnwatchedTables(), ", ") +
			" are seen by a comparison of all rows only."
	}
	return text
}

// node is a place or a service on the way of changes.
type node struct {
	name string
	// kind is place or service.
	kind string
	// tone is good, busy, held, bad or "" if nothing is known.
	tone string
	// text says what it does now, or why it does nothing.
	text string
	// facts are its numbers.
	facts []fact
}

type fact struct{ name, value string }

// picture returns the way of a change, from the tables to the ledger.
func picture(s *controlv1.GetStatusResponse) []node {
	flow := map[string]*controlv1.FlowStatus{}
	for _, f := range s.GetFlow() {
		flow[f.GetName()] = f
	}
	return []node{
		postgres(s, flow["capture"]),
		service(s, "ingestion"),
		queue(s, "CATALOG", flow["live"], flow["bulk"]),
		service(s, "push", flowFact(s, "commands", flow["commands"]), flowFact(s, "retries", flow["retries"])),
		stripe(s),
		service(s, "pull"),
		queue(s, "OBSERVED", flow["events"]),
		service(s, "reconciliation", flowFact(s, "to record", flow["ledger"])),
	}
}

// maxReportAge is the maximum age of ingestion's last report. Ingestion reports about once a second. It is the limit of
// reconciliation, which only the packages of that service can import.
const maxReportAge = 5 * time.Second

// postgres returns the node of the tables, with what is known of their capture.
func postgres(s *controlv1.GetStatusResponse, flow *controlv1.FlowStatus) node {
	n := node{name: "Postgres", kind: "place", facts: flowFact(s, "", flow)}
	n.tone, n.text = capture(s)
	return n
}

// capture returns the tone and the text for the capture of changes. An old report says nothing about now.
func capture(s *controlv1.GetStatusResponse) (tone, text string) {
	c := s.GetEquality().GetCapture()
	if c.GetAt() == nil {
		return "", "no ingestion has reported yet"
	}
	switch age := at(s).Sub(c.GetAt().AsTime()); {
	case age > maxReportAge:
		text = "no ingestion runs (last report " + view.Duration(age) + " ago"
		if c.GetState() == meshv1.CaptureState_CAPTURE_STATE_STOPPED {
			text += ", it had stopped"
			if c.GetReason() != "" {
				text += ": " + c.GetReason()
			}
		}
		return "", text + ")"
	case age < -maxReportAge:
		return "", "the last report of ingestion is " + view.Duration(-age) +
			" in the future: the clock of the NATS server was set back"
	case c.GetReason() != "":
		return "bad", c.GetReason()
	}
	switch c.GetState() {
	case meshv1.CaptureState_CAPTURE_STATE_READING:
		if c.GetRunning() != nil {
			return "good", "tables are being compared"
		}
		return "good", "changes are captured"
	case meshv1.CaptureState_CAPTURE_STATE_READING_TABLES:
		return "busy", "the tables are being read as a whole"
	case meshv1.CaptureState_CAPTURE_STATE_STARTING:
		return "busy", "ingestion is starting"
	case meshv1.CaptureState_CAPTURE_STATE_PAUSED:
		return "held", "ingestion is paused by an operator"
	case meshv1.CaptureState_CAPTURE_STATE_STOPPED:
		return "bad", "capture is stopped"
	case meshv1.CaptureState_CAPTURE_STATE_UNSPECIFIED:
	}
	return "", "ingestion does not report whether it captures"
}

// service returns the node of a service.
func service(s *controlv1.GetStatusResponse, name string, facts ...[]fact) node {
	n := node{name: name, kind: "service"}
	for _, f := range facts {
		n.facts = append(n.facts, f...)
	}
	for _, p := range s.GetPaused() {
		if p.GetService() == name {
			n.tone, n.text = "held", "paused"
			return n
		}
	}
	for _, x := range s.GetServices() {
		if x.GetService() != name {
			continue
		}
		n.text, n.tone = x.GetDoing(), "good"
		if x.GetProblem() != "" {
			n.text, n.tone = x.GetProblem(), "bad"
		}
		if x.GetRunning() != 1 {
			n.facts = append([]fact{{"processes", view.Count(uint64(x.GetRunning()))}}, n.facts...)
		}
		return n
	}
	n.text = "nothing is known"
	return n
}

// queue returns the node of a stream with the work that waits in it.
func queue(s *controlv1.GetStatusResponse, name string, flows ...*controlv1.FlowStatus) node {
	n := node{name: name, kind: "place", tone: "good", text: "nothing waits"}
	var waiting uint64
	for _, f := range flows {
		if f == nil || f.Waiting == nil {
			n.tone, n.text = "", "nothing is known"
			return n
		}
		waiting += f.GetWaiting()
		label := map[string]string{"live": "changes", "bulk": "in bulk", "events": "events"}[f.GetName()]
		n.facts = append(n.facts, flowFact(s, label, f)...)
	}
	if waiting > 0 {
		n.tone, n.text = "busy", view.Count(waiting)+" waiting"
	}
	return n
}

func stripe(s *controlv1.GetStatusResponse) node {
	n := node{name: "Stripe", kind: "place", text: "calls are not known"}
	var calls float64
	known := false
	for _, x := range s.GetServices() {
		for _, p := range x.GetProcesses() {
			if rate, ok := p.GetProcess().GetRates()["calls"]; ok && p.GetState() == "running" {
				calls, known = calls+rate, true
			}
		}
	}
	if known {
		n.tone, n.text = "good", fmt.Sprintf("%.1f calls per second", calls)
	}
	if s.GetHalted() != "" {
		n.tone, n.text = "bad", s.GetHalted()
	}
	return n
}

// flowFact returns the numbers of work that waits: how much, how old, how fast, how long. Numbers that are not known,
// and those of nothing, are left out.
func flowFact(s *controlv1.GetStatusResponse, name string, f *controlv1.FlowStatus) []fact {
	var facts []fact
	if f == nil {
		return nil
	}
	if f.GetWaiting() > 0 {
		facts = append(facts, fact{name, view.Count(f.GetWaiting())})
	}
	if t := f.GetOldestAt(); t != nil && (f.GetWaiting() > 0 || f.Waiting == nil) {
		label := "oldest"
		if f.Waiting == nil {
			label = "behind"
		}
		facts = append(facts, fact{label, view.Duration(max(at(s).Sub(t.AsTime()), 0))})
	}
	if f.PerSecond != nil && f.GetPerSecond() > 0 {
		facts = append(facts, fact{"rate", fmt.Sprintf("%.1f/s", f.GetPerSecond())})
	}
	if d := f.GetLeft(); d != nil && f.GetWaiting() > 0 {
		facts = append(facts, fact{"left", view.Duration(d.AsDuration())})
	}
	if t := f.GetNextAt(); t != nil && f.GetWaiting() > 0 {
		facts = append(facts, fact{"next", view.Since(at(s), t.AsTime())})
	}
	return facts
}
