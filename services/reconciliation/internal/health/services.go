// Package health says what the processes of the services do, what is wrong, and what else an operator should know. It
// has no I/O and no clock.
package health

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// services are the services in the order of the way of a change.
var services = []string{topology.Ingestion, topology.Push, topology.Pull, topology.Reconciliation}

// The states of a process.
const (
	running = "running"
	stopped = "stopped"
	lost    = "lost"
)

// Evidence is what is known about the processes.
type Evidence struct {
	// Processes are the records of all processes, and Now is the time to which they are compared.
	Processes []*meshv1.Process
	Now       time.Time
	// AsksForMessages reports whether some process of a service asks for messages, announced or not.
	AsksForMessages func(service string) bool
}

// Services returns the state of every service.
func Services(e Evidence) []*controlv1.ServiceStatus {
	out := make([]*controlv1.ServiceStatus, len(services))
	for i, service := range services {
		out[i] = e.service(service)
	}
	return out
}

func (e Evidence) service(name string) *controlv1.ServiceStatus {
	out := &controlv1.ServiceStatus{Service: name}
	var alive []*meshv1.Process
	for _, p := range e.Processes {
		if p.GetService() != name {
			continue
		}
		if state.IsRunning(p, e.Now) {
			alive = append(alive, p)
			out.Versions = append(out.Versions, p.GetVersion())
		}
		out.Processes = append(out.Processes, &controlv1.ProcessStatus{Process: p, State: stateOf(p, e.Now)})
	}
	slices.SortFunc(out.GetProcesses(), compareProcesses)
	slices.Sort(out.GetVersions())
	out.Versions = slices.Compact(out.GetVersions())
	out.Running = uint32(len(alive))
	out.Doing = doing(alive)
	out.Problem = e.problem(out, alive)
	return out
}

func stateOf(p *meshv1.Process, now time.Time) string {
	switch {
	case p.GetStoppedAt() != nil:
		return stopped
	case state.IsLost(p, now):
		return lost
	default:
		return running
	}
}

// compareProcesses orders those that run first, by their start, and then the others, the latest first.
func compareProcesses(a, b *controlv1.ProcessStatus) int {
	switch {
	case a.GetState() == running && b.GetState() == running:
		return cmp.Or(a.GetProcess().GetStartedAt().AsTime().Compare(b.GetProcess().GetStartedAt().AsTime()),
			cmp.Compare(a.GetProcess().GetInstance(), b.GetProcess().GetInstance()))
	case a.GetState() == running:
		return -1
	case b.GetState() == running:
		return 1
	default:
		return b.GetProcess().GetAt().AsTime().Compare(a.GetProcess().GetAt().AsTime())
	}
}

// doing describes what the processes that run do together.
func doing(alive []*meshv1.Process) string {
	var parts []string
	working, calls := uint64(0), 0.0
	for _, p := range alive {
		working += p.GetWorking()
		calls += p.GetRates()["calls"]
		// The number of products is told for all processes together.
		if text := p.GetDoing(); text != "" && p.GetWorking() == 0 && !slices.Contains(parts, text) {
			parts = append(parts, text)
		}
	}
	switch {
	case working == 1:
		parts = []string{"syncs 1 product"}
	case working > 1:
		parts = []string{"syncs " + formatCount(working) + " products"}
	}
	if calls >= minRate {
		parts = append(parts, fmt.Sprintf("%.1f calls/s", calls))
	}
	return strings.Join(parts, "; ")
}

// startTime is how long a process may take to become ready. Its record says so only with the next heartbeat.
const startTime = 5 * time.Second

// IsStarting reports whether the record of a process is from its start.
func IsStarting(p *meshv1.Process) bool {
	return p.GetAt().AsTime().Sub(p.GetStartedAt().AsTime()) < startTime
}

// minRate is the lowest rate per second that is shown.
const minRate = 0.05

// problem returns why a service does not work.
func (e Evidence) problem(s *controlv1.ServiceStatus, alive []*meshv1.Process) string {
	if len(alive) == 0 {
		return e.absent(s)
	}
	for _, p := range alive {
		if p.GetNotReady() == "" || IsStarting(p) {
			return ""
		}
	}
	return "not ready: " + alive[0].GetNotReady()
}

// absent says why no process of a service is known to run.
func (e Evidence) absent(s *controlv1.ServiceStatus) string {
	if s.GetService() == topology.Reconciliation {
		// Reconciliation itself answers.
		return "answers, but no record of it is known: it has just started, or cannot write to the bucket PROCESS"
	}
	// A process that hangs has open requests for messages, too.
	asks := e.AsksForMessages(s.GetService())
	switch {
	case len(s.GetProcesses()) == 0 && asks:
		return "runs, but does not say what it does: its version is too old"
	case len(s.GetProcesses()) == 0:
		return "does not run: no process has announced itself within an hour"
	}
	last := s.GetProcesses()[0].GetProcess()
	when := formatDuration(e.Now.Sub(last.GetAt().AsTime())) + " ago" + onHost(last)
	switch {
	case last.GetStoppedAt() != nil && asks:
		return "stopped " + when + ", and a process that does not say what it does asks for messages: is its version older?"
	case last.GetStoppedAt() != nil:
		return "does not run: stopped " + when
	case asks:
		return "does not answer: last heard of " + when + ", and its requests for messages are still open: does it hang?"
	default:
		return "does not run: last heard of " + when + ", it did not stop in an orderly way"
	}
}

func onHost(p *meshv1.Process) string {
	if p.GetHost() == "" {
		return ""
	}
	return " on " + p.GetHost()
}

// formatDuration writes a duration in whole seconds: "21 s", "3m20s".
func formatDuration(d time.Duration) string {
	d = max(d.Round(time.Second), 0)
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
