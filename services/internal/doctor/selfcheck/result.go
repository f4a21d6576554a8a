package selfcheck

import (
	"strings"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/doctor"
	"github.com/driftless-sync/driftless/services/internal/visible"
)

// Bounds of the part of a process's record that has its checks. The record is written every two seconds.
const (
	// maxFindings is how many findings of a check are told.
	maxFindings = 5
	// maxText and maxFix bound a text and a fix, in bytes.
	maxText, maxFix = 500, 1000
	// maxAll bounds all findings together, in bytes. Beyond that, one finding of each check is told, without its text.
	maxAll = 16 << 10
)

// Results returns the results of a report for the record of a process. All texts are visible and bounded.
func Results(report doctor.Report) []*meshv1.CheckResult {
	var out []*meshv1.CheckResult
	byID := map[string]*meshv1.CheckResult{}
	for _, f := range report.Findings {
		result := byID[f.ID]
		if result == nil {
			result = &meshv1.CheckResult{Id: f.ID, State: doctor.StateFinding}
			byID[f.ID] = result
			out = append(out, result)
		}
		if len(result.GetFindings()) == maxFindings {
			result.More++
			continue
		}
		result.Findings = append(result.Findings, &meshv1.CheckFinding{
			Message: cut(visible.Text(f.Message), maxText),
			Fix:     fixOf(f),
		})
	}
	for _, n := range report.NotLooked {
		out = append(out, &meshv1.CheckResult{
			Id: n.ID, State: doctor.StateNotLooked, Reason: cut(visible.Text(n.Reason), maxText),
		})
	}
	for _, f := range report.Fine {
		out = append(out, &meshv1.CheckResult{
			Id:    f.ID,
			State: doctor.StateFine,
			Saw:   cut(visible.Text(f.Saw), maxText),
		})
	}
	return out
}

// fixOf returns the fix of a finding. Part of a statement must not be run, so a fix that is too long is left out.
func fixOf(f doctor.Finding) string {
	// A statement may have several lines.
	lines := strings.Split(f.Fix, "\n")
	for i, line := range lines {
		lines[i] = visible.Text(line)
	}
	if fix := strings.Join(lines, "\n"); len(fix) <= maxFix {
		return fix
	}
	return "The fix is too long to be shown here: " + doctor.Command(f.ID)
}

// cut returns a text of at most limit bytes.
func cut(text string, limit int) string {
	const mark = "..."
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit-len(mark)], "") + mark
}

// bounded returns the results with as many findings as the record has room for.
func bounded(results []*meshv1.CheckResult) []*meshv1.CheckResult {
	out := make([]*meshv1.CheckResult, len(results))
	room := maxAll
	for i, result := range results {
		out[i] = result
		size := 0
		for _, f := range result.GetFindings() {
			size += len(f.GetMessage()) + len(f.GetFix())
		}
		if room -= size; room < 0 && size > 0 {
			out[i] = withoutTexts(result)
		}
	}
	return out
}

// withoutTexts returns a result that only says how many findings there are.
func withoutTexts(result *meshv1.CheckResult) *meshv1.CheckResult {
	return &meshv1.CheckResult{
		Id: result.GetId(), State: result.GetState(), At: result.GetAt(), ExpiresAt: result.GetExpiresAt(),
		Findings: []*meshv1.CheckFinding{{
			Message: "something was found, and the record of the process has no room to say what",
			Fix:     doctor.Command(result.GetId()),
		}},
		More: result.GetMore() + uint32(len(result.GetFindings())) - 1,
	}
}
