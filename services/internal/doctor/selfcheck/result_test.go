package selfcheck

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/doctor"
)

func TestResults_AreVisibleAndBounded(t *testing.T) {
	t.Parallel()
	finding := func(id, message, fix string) doctor.Finding {
		return doctor.Finding{ID: id, Message: message, Fix: fix}
	}
	report := doctor.Report{
		Findings: []doctor.Finding{
			finding("mapping.products", "a \x1b[1mbold\nname", "UPDATE a;\nUPDATE b;"),
			finding("database.publication", "it is gone", strings.Repeat("ALTER ", 1000)),
		},
		NotLooked: []doctor.NotLooked{{ID: doctor.ClocksHost, Reason: strings.Repeat("\u00e9", 1000)}},
		Fine:      []doctor.Fine{{ID: doctor.NATSVersion, Saw: "2.14.0"}},
	}
	for range 6 {
		report.Findings = append(report.Findings, finding("mapping.products", "another", ""))
	}
	results := Results(report)
	require.Len(t, results, 4)
	products := results[0]
	require.Equal(t, `a \x1b[1mbold\nname`, products.GetFindings()[0].GetMessage())
	require.Equal(t, "UPDATE a;\nUPDATE b;", products.GetFindings()[0].GetFix(), "a statement has lines")
	require.Len(t, products.GetFindings(), maxFindings)
	require.EqualValues(t, 2, products.GetMore())
	require.Equal(t, "The fix is too long to be shown here: driftless doctor --only database.publication",
		results[1].GetFindings()[0].GetFix(), "part of a statement must not be run")
	require.LessOrEqual(t, len(results[2].GetReason()), maxText)
	require.True(t, proto.Equal(
		&meshv1.CheckResult{Id: doctor.NATSVersion, State: doctor.StateFine, Saw: "2.14.0"}, results[3]))
}

// However much is found, the record stays small, and each check with a finding says so.
func TestBounded_KeepsAFindingOfEachCheck(t *testing.T) {
	t.Parallel()
	var report doctor.Report
	for _, c := range doctor.Checks() {
		for range maxFindings + 3 {
			report.Findings = append(report.Findings,
				doctor.Finding{ID: c.ID, Message: strings.Repeat("m", 2*maxText), Fix: strings.Repeat("f", maxFix)})
		}
	}
	results := bounded(Results(report), maxAll)
	require.Len(t, results, len(doctor.Checks()))
	for _, r := range results {
		require.Equal(t, doctor.StateFinding, r.GetState())
		require.Equal(t, maxFindings+3, len(r.GetFindings())+int(r.GetMore()))
	}
	record, err := proto.Marshal(&meshv1.Process{Checks: results})
	require.NoError(t, err)
	require.LessOrEqual(t, len(record), maxAll)
}

// What was seen and why nothing was looked at count, too. The server may take small messages only.
func TestBounded_CountsAllTexts(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("m", maxText)
	var report doctor.Report
	for i, c := range doctor.Checks() {
		switch {
		case i == 0:
			report.Findings = append(report.Findings, doctor.Finding{ID: c.ID, Message: long, Fix: long})
		case i%2 == 0:
			report.Fine = append(report.Fine, doctor.Fine{ID: c.ID, Saw: long})
		default:
			report.NotLooked = append(report.NotLooked, doctor.NotLooked{ID: c.ID, Reason: long})
		}
	}
	for _, room := range []int{maxAll, 6 << 10, 2 << 10} {
		results := bounded(Results(report), room)
		require.LessOrEqual(t, proto.Size(&meshv1.Process{Checks: results}), room)
		found := results[0]
		require.Equal(t, long, found.GetFindings()[0].GetMessage(), "the texts of findings come first")
		for _, r := range results[1:] {
			require.NotEqual(t, r.GetState() == doctor.StateNotLooked, r.GetReason() == "", r.GetId())
		}
	}
	require.Len(t, bounded(Results(report), maxAll), len(doctor.Checks()))
}
