package doctor

import (
	"fmt"
	"slices"
	"strings"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/visible"
)

// ReportOf returns what the processes of a mesh found, as the control API answers, for the selected checks. A check
// that is neither fine nor has a finding was not looked at, whatever the answer says of it.
func ReportOf(answer *controlv1.GetFindingsResponse, s Selection) Report {
	byID := map[string]*controlv1.CheckStatus{}
	for _, status := range answer.GetChecks() {
		byID[status.GetId()] = status
	}
	out := newReport()
	for _, c := range Checks() {
		switch {
		case s.skips(c.ID):
			out.Skipped = append(out.Skipped, c.ID)
		case !s.includes(c.ID):
		case byID[c.ID] == nil:
			out.NotLooked = append(out.NotLooked,
				NotLooked{c.ID, "reconciliation does not know it: is its version older?"})
		default:
			addStatus(&out, c, byID[c.ID])
		}
	}
	sortFindings(out.Findings)
	return out
}

// ReportUnknown returns a report in which none of the selected checks was looked at.
func ReportUnknown(reason string, s Selection) Report {
	out := newReport()
	for _, c := range Checks() {
		switch {
		case s.skips(c.ID):
			out.Skipped = append(out.Skipped, c.ID)
		case s.includes(c.ID):
			out.NotLooked = append(out.NotLooked, NotLooked{c.ID, reason})
		}
	}
	return out
}

func addStatus(r *Report, c Check, status *controlv1.CheckStatus) {
	before := len(r.Findings)
	for _, l := range status.GetLooks() {
		for i, f := range l.GetFindings() {
			message := visible.Text(f.GetMessage())
			if more := l.GetMore(); more > 0 && i == len(l.GetFindings())-1 {
				message = fmt.Sprintf("%s; and %d more: %s", message, more, Command(c.ID))
			}
			at := l.GetAt().AsTime()
			r.Findings = append(r.Findings, Finding{
				ID:       c.ID,
				Severity: c.Severity,
				Message:  message,
				Why:      c.Why,
				Fix:      c.Fix,
				Proposed: proposed(c, f),
				By:       lookedBy(l),
				At:       &at,
			})
		}
	}
	switch {
	case len(r.Findings) > before:
	case status.GetState() == StateFine:
		r.Fine = append(r.Fine, fineOf(status))
	default:
		r.NotLooked = append(r.NotLooked, NotLooked{c.ID, whyNot(status)})
	}
}

// proposed returns the fix of a process, visible line by line, or "" if it is that of the check.
func proposed(c Check, f *meshv1.CheckFinding) string {
	if f.GetFix() == c.Fix {
		return ""
	}
	lines := strings.Split(f.GetFix(), "\n")
	for i, line := range lines {
		lines[i] = visible.Text(line)
	}
	return strings.Join(lines, "\n")
}

// fineOf returns a check that is fine, with the time of its earliest look.
func fineOf(status *controlv1.CheckStatus) Fine {
	out := Fine{ID: status.GetId(), Saw: sawAll(status)}
	var by []string
	for _, l := range status.GetLooks() {
		by = appendNew(by, lookedBy(l))
		if at := l.GetAt().AsTime(); l.GetAt() != nil && (out.At == nil || at.Before(*out.At)) {
			out.At = &at
		}
	}
	out.By = strings.Join(by, "; ")
	return out
}

// lookedBy names a process: "push (host-a, process 7)".
func lookedBy(l *controlv1.CheckLook) string {
	if l.GetProcess() == "" {
		return l.GetService()
	}
	return fmt.Sprintf("%s (%s)", l.GetService(), visible.Text(l.GetProcess()))
}

// sawAll returns what the processes saw, once if they saw the same.
func sawAll(status *controlv1.CheckStatus) string {
	var all []string
	for _, l := range status.GetLooks() {
		all = appendNew(all, visible.Text(l.GetSaw()))
	}
	return strings.Join(all, "; ")
}

// whyNot returns why a check has no result.
func whyNot(status *controlv1.CheckStatus) string {
	var all []string
	for _, l := range status.GetLooks() {
		if l.GetState() == StateFine || l.GetState() == StateFinding {
			continue
		}
		reason := visible.Text(l.GetReason())
		if l.GetProcess() != "" {
			reason = lookedBy(l) + ": " + reason
		}
		all = appendNew(all, reason)
	}
	if len(all) == 0 {
		return "reconciliation does not say why"
	}
	return strings.Join(all, "; ")
}

func appendNew(all []string, text string) []string {
	if text == "" || slices.Contains(all, text) {
		return all
	}
	return append(all, text)
}
