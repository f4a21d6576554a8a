package health

import (
	"fmt"
	"slices"
	"time"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/doctor"
	"github.com/driftless-sync/driftless/services/internal/state"
)

// Findings returns all checks of doctor with what the running processes found. own are the results of the process that
// answers, which are of now: they replace those of all processes of its service.
func Findings(processes []*meshv1.Process, now time.Time, own Own) []*controlv1.CheckStatus {
	checks := doctor.Checks()
	out := make([]*controlv1.CheckStatus, len(checks))
	for i, check := range checks {
		status := &controlv1.CheckStatus{
			Id:       check.ID,
			Severity: string(check.Severity),
			Finds:    check.Finds,
			Why:      check.Why,
			Fix:      check.Fix,
		}
		if result := own.find(check.ID); result != nil {
			status.Looks = []*controlv1.CheckLook{lookOf(own.Service, own.Process, result, now)}
		} else {
			status.Looks = looks(check.ID, processes, now)
		}
		status.State = together(status.GetLooks())
		if status.GetState() != doctor.StateFine {
			status.Command = doctor.Command(check.ID)
		}
		out[i] = status
	}
	return out
}

// Own are the results of the process that answers.
type Own struct {
	Service, Process string
	Results          []*meshv1.CheckResult
}

func (o Own) find(id string) *meshv1.CheckResult {
	i := slices.IndexFunc(o.Results, func(r *meshv1.CheckResult) bool { return r.GetId() == id })
	if i < 0 {
		return nil
	}
	return o.Results[i]
}

// looks returns what the processes say of a check.
func looks(id string, processes []*meshv1.Process, now time.Time) (out []*controlv1.CheckLook) {
	makers := doctor.Makers(id)
	if len(makers) == 0 {
		return []*controlv1.CheckLook{{
			State: doctor.StateNotLooked, Reason: "no service makes this check by itself: driftless doctor does",
		}}
	}
	for _, service := range makers {
		all := looksOf(service, id, processes, now)
		if len(all) == 0 {
			all = []*controlv1.CheckLook{{
				Service: service,
				State:   doctor.StateNotLooked,
				Reason:  "no process of " + service + " is known to run",
			}}
		}
		out = append(out, all...)
	}
	return out
}

// looksOf returns what the processes of a service say of a check. Standbys that leave the check to the active replica
// do not hide what that one says.
func looksOf(service, id string, processes []*meshv1.Process, now time.Time) (out []*controlv1.CheckLook) {
	isLeft := func(l *controlv1.CheckLook) bool {
		return l.GetState() == doctor.StateNotLooked && l.GetReason() == doctor.LeftToActive
	}
	for _, p := range processes {
		if p.GetService() == service && state.IsRunning(p, now) {
			out = append(out, lookOf(service, doctor.Whereabouts(p), resultOf(p, id), now))
		}
	}
	if slices.ContainsFunc(out, func(l *controlv1.CheckLook) bool { return !isLeft(l) }) {
		out = slices.DeleteFunc(out, isLeft)
	}
	return out
}

// resultOf returns what a process says of a check. A process that says nothing has not looked.
func resultOf(p *meshv1.Process, id string) *meshv1.CheckResult {
	for _, r := range p.GetChecks() {
		if r.GetId() == id {
			return r
		}
	}
	reason := "the process does not make this check: it may be of another version"
	if len(p.GetChecks()) == 0 {
		reason = "the process makes no checks: it may be of an earlier version"
	}
	return &meshv1.CheckResult{Id: id, State: doctor.StateNotLooked, Reason: reason}
}

// lookOf returns a result for the API. A result that is too old says nothing about now, and so does one in a state that
// a later version may have.
func lookOf(service, process string, r *meshv1.CheckResult, now time.Time) *controlv1.CheckLook {
	out := &controlv1.CheckLook{
		Service: service, Process: process, State: r.GetState(), At: r.GetAt(), Saw: r.GetSaw(), Reason: r.GetReason(),
		Findings: r.GetFindings(), More: r.GetMore(),
	}
	hasResult := r.GetState() == doctor.StateFine || r.GetState() == doctor.StateFinding
	switch {
	case hasResult && (r.GetAt() == nil || now.After(r.GetExpiresAt().AsTime())):
		out.Reason = fmt.Sprintf("the latest look was %s ago, and the next one is late",
			formatDuration(now.Sub(r.GetAt().AsTime())))
		if r.GetAt() == nil {
			out.Reason = "the process does not say when it looked"
		}
	case hasResult:
		return out
	case r.GetState() != doctor.StateNotLooked:
		out.Reason = fmt.Sprintf("the result %q is not known: the process may be of a later version", r.GetState())
	}
	out.State, out.Saw, out.Findings, out.More = doctor.StateNotLooked, "", nil, 0
	return out
}

// together returns the state of a check: a finding of one process is one, and fine is what all found fine.
func together(looks []*controlv1.CheckLook) string {
	out := doctor.StateFine
	for _, l := range looks {
		switch l.GetState() {
		case doctor.StateFinding:
			return doctor.StateFinding
		case doctor.StateFine:
		default:
			out = doctor.StateNotLooked
		}
	}
	if len(looks) == 0 {
		return doctor.StateNotLooked
	}
	return out
}
