package selfcheck

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

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
	// maxAll bounds all results together, in bytes. Beyond that, results are told without their texts.
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

// bounded returns the results within so many bytes of the record. Findings are always in it. Their texts come first,
// and then the other checks, and their texts. A check that is left out was not looked at, for those who read the
// record.
func bounded(results []*meshv1.CheckResult, room int) []*meshv1.CheckResult {
	out := make([]*meshv1.CheckResult, len(results))
	add := func(state string, form func(*meshv1.CheckResult) *meshv1.CheckResult, must bool) {
		for i, result := range results {
			if result.GetState() != state {
				continue
			}
			as := form(result)
			if more := sizeOf(as) - sizeOf(out[i]); more <= room || must {
				out[i] = as
				room -= more
			}
		}
	}
	whole := func(result *meshv1.CheckResult) *meshv1.CheckResult { return result }
	add(doctor.StateFinding, withoutTexts, true)
	add(doctor.StateFinding, whole, false)
	add(doctor.StateNotLooked, withoutTexts, false)
	add(doctor.StateFine, withoutTexts, false)
	add(doctor.StateNotLooked, whole, false)
	add(doctor.StateFine, whole, false)
	return slices.DeleteFunc(out, func(result *meshv1.CheckResult) bool { return result == nil })
}

// sizeOf returns the size of a result in the record of a process, in bytes.
func sizeOf(result *meshv1.CheckResult) int {
	if result == nil {
		return 0
	}
	return proto.Size(&meshv1.Process{Checks: []*meshv1.CheckResult{result}})
}

// withoutTexts returns a result without what was seen or found.
func withoutTexts(result *meshv1.CheckResult) *meshv1.CheckResult {
	out := &meshv1.CheckResult{
		Id: result.GetId(), State: result.GetState(), At: result.GetAt(), ExpiresAt: result.GetExpiresAt(),
	}
	switch result.GetState() {
	case doctor.StateFinding:
		out.Findings = []*meshv1.CheckFinding{{
			Message: "something was found, and the record of the process has no room to say what",
			Fix:     doctor.Command(result.GetId()),
		}}
		out.More = result.GetMore() + uint32(len(result.GetFindings())) - 1
	case doctor.StateNotLooked:
		out.Reason = "the record of the process has no room to say why"
	}
	return out
}
