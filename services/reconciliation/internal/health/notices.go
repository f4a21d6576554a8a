package health

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// notices collects what is wrong, and what else there is to know.
type notices struct {
	status          *controlv1.GetStatusResponse
	now             time.Time
	problems, notes []*controlv1.Notice
}

// Retries are the first products that wait for their next attempt.
type Retries struct {
	First []*meshv1.Retry
	// More reports that there are others.
	More bool
}

// Judge adds the problems and the notes to a status that is complete otherwise.
func Judge(s *controlv1.GetStatusResponse, retries Retries, now time.Time) {
	n := &notices{status: s, now: now, problems: s.GetProblems(), notes: s.GetNotes()}
	n.stops()
	n.services()
	n.failing(retries)
	n.products()
	n.checks()
	n.reads()
	s.Problems, s.Notes = n.problems, n.notes
}

func (n *notices) problemf(kind, command, format string, args ...any) {
	n.problems = append(n.problems, &controlv1.Notice{Kind: kind, Command: command, Text: fmt.Sprintf(format, args...)})
}

func (n *notices) notef(kind, command, format string, args ...any) {
	n.notes = append(n.notes, &controlv1.Notice{Kind: kind, Command: command, Text: fmt.Sprintf(format, args...)})
}

// stops finds what somebody or something has stopped.
func (n *notices) stops() {
	if why := n.status.GetHalted(); why != "" {
		n.problemf("halted", "", "push is halted, because Stripe refuses the key: %s", why)
	}
	for _, p := range n.status.GetPaused() {
		by := ""
		if p.GetActor() != "" {
			by = ", by " + p.GetActor()
		}
		if p.GetReason() != "" {
			by += ": " + p.GetReason()
		}
		n.problemf("paused", "driftless resume "+p.GetService(), "%s is paused, since %s%s", p.GetService(),
			n.since(p.GetSince().AsTime()), by)
	}
	if n.status.GetCreationsHeld() {
		n.notef("creations", "driftless adopt plan", "push creates nothing in Stripe (push_create is off)")
	}
}

// services finds services that do not work, processes that ended without saying so, and different versions.
func (n *notices) services() {
	var versions []string
	for _, s := range n.status.GetServices() {
		if s.GetProblem() != "" {
			n.problemf("service", "", "%s %s", s.GetService(), s.GetProblem())
		}
		for _, v := range s.GetVersions() {
			versions = append(versions, s.GetService()+" "+v)
		}
		n.processes(s)
	}
	slices.Sort(versions)
	distinct := map[string]bool{}
	for _, v := range versions {
		_, version, _ := strings.Cut(v, " ")
		distinct[version] = true
	}
	if len(distinct) > 1 {
		n.notef("version", "", "the services run different versions: %s", strings.Join(versions, ", "))
	}
}

// processes finds processes that need attention although others do the work of the service.
func (n *notices) processes(s *controlv1.ServiceStatus) {
	if s.GetProblem() != "" {
		return
	}
	for _, p := range s.GetProcesses() {
		switch process := p.GetProcess(); {
		case p.GetState() == lost:
			n.notef("process", "", "a process of %s was lost%s, last heard of %s; %d run", s.GetService(),
				onHost(process), n.since(process.GetAt().AsTime()), s.GetRunning())
		case p.GetState() == running && process.GetNotReady() != "":
			n.notef("process", "", "a process of %s%s is not ready: %s", s.GetService(), onHost(process),
				process.GetNotReady())
		}
	}
}

// failing finds products that keep failing. A retry without an attempt waits for something else.
func (n *notices) failing(all Retries) {
	retries := slices.DeleteFunc(slices.Clone(all.First), func(r *meshv1.Retry) bool { return r.GetAttempts() == 0 })
	if len(retries) == 0 {
		n.unreadRetries(all)
		return
	}
	worst := slices.MaxFunc(retries, func(a, b *meshv1.Retry) int {
		return cmp.Or(cmp.Compare(a.GetAttempts(), b.GetAttempts()), cmp.Compare(b.GetProductId(), a.GetProductId()))
	})
	least := ""
	if all.More {
		least = "at least "
	}
	n.problemf("failing", "driftless retries", "%s%s: %s after %d attempts: %s", least,
		plural(uint64(len(retries)), "product keeps failing", "products keep failing"), worst.GetProductId(),
		worst.GetAttempts(), worst.GetError())
}

// unreadRetries says that the retries behind the first ones were not looked at. While creations are held, it is known
// why so many products wait, and that is no problem. It is still not known whether others fail.
func (n *notices) unreadRetries(all Retries) {
	if !all.More {
		return
	}
	add := n.problemf
	if n.status.GetCreationsHeld() {
		add = n.notef
	}
	add("failing", "driftless retries",
		"products wait for a retry, and not all of them were looked at: the first %d wait for something else than Stripe",
		len(all.First))
}

// products finds products that need a person.
func (n *notices) products() {
	s := n.status
	if s.GetDead() > 0 {
		n.problemf("dead", "driftless dead", "%s", plural(s.GetDead(),
			"product has a change that cannot be applied", "products have changes that cannot be applied"))
	}
	if s.GetHeld() > 0 {
		n.problemf("held", "driftless plan", "the guard holds %s", plural(s.GetHeld(), "change", "changes"))
	}
	if s.GetDrifted() > 0 {
		n.problemf("drifted", "driftless drift", "%s", plural(s.GetDrifted(), "product has drifted",
			"products have drifted"))
	}
}

func (n *notices) checks() {
	for _, c := range n.status.GetEquality().GetCapture().GetFailingChecks() {
		n.problemf("check", "", "check %s fails, since %s: %s", c.GetCheck(), n.since(c.GetSince().AsTime()),
			c.GetMessage())
	}
}

// reads finds reads of Stripe that fail. Equality says when it is unknown for that reason.
func (n *notices) reads() {
	scan := n.status.GetLastScan()
	switch unread := scan.GetUnconfirmed(); {
	case scan.GetFinishedAt() == nil && scan.GetError() != "":
		n.notef("scan", "driftless scan", "the latest scan failed: %s", scan.GetError())
	case scan.GetFinishedAt() != nil && unread > 0:
		n.notef("scan", "driftless scan", "the latest scan could not read %s of Stripe: another one does",
			plural(unread, "object", "objects"))
	}
	if poll := n.status.GetLastPoll(); poll.GetError() != "" {
		n.notef("poll", "", "Stripe's events could not be read: %s", poll.GetError())
	}
	n.webhooks()
}

// minOnlyPolled is how many events only polls must have detected. A poll may overtake a webhook, so a few prove
// nothing.
const minOnlyPolled = 4

// webhooks finds that no webhooks arrive. Any process of pull may get the webhook of an event that another has polled.
func (n *notices) webhooks() {
	var events uint64
	var since, last time.Time
	for _, s := range n.status.GetServices() {
		for _, p := range s.GetProcesses() {
			if p.GetState() != running {
				continue
			}
			process := p.GetProcess()
			if at := process.GetLastWebhookAt(); at != nil && at.AsTime().After(last) {
				last = at.AsTime()
			}
			if at := process.GetOnlyPolledSince(); at != nil && (since.IsZero() || at.AsTime().Before(since)) {
				since = at.AsTime()
			}
			events += process.GetOnlyPolled()
		}
	}
	if events < minOnlyPolled || last.After(since) {
		return
	}
	n.notef("webhooks", "driftless doctor",
		"no webhook has arrived for %s, and polls detected %s meanwhile: changes in Stripe are seen late",
		formatDuration(n.now.Sub(since)), plural(events, "event", "events"))
}

// since says how long ago a time was: "34 s ago".
func (n *notices) since(at time.Time) string { return formatDuration(n.now.Sub(at)) + " ago" }

// plural returns a number with its words.
func plural(count uint64, one, many string) string {
	if count == 1 {
		return "1 " + one
	}
	return formatCount(count) + " " + many
}

// Consumers are the consumers of each service that show whether it asks for messages.
var Consumers = map[string][]topology.Consumer{
	topology.Ingestion: {topology.IngestionCommand},
	topology.Push:      {topology.PushLive, topology.PushBulk, topology.PushCommand, topology.PushRetry},
	topology.Pull:      {topology.PullStripe, topology.PullCommand},
	topology.Reconciliation: {
		topology.ReconciliationCatalog, topology.ReconciliationStripe, topology.ReconciliationSync,
		topology.ReconciliationDead, topology.ReconciliationObserved,
	},
}
