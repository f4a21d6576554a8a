package doctor_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/doctor"
)

func TestReportOf_CallsNothingFineThatNobodyLookedAt(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC)
	push := func(state, saw, reason string) *controlv1.CheckLook {
		return &controlv1.CheckLook{
			Service: "push", Process: "host-\x1ba, process 7", State: state, Saw: saw, Reason: reason,
			At: timestamppb.New(at),
		}
	}
	found := push(doctor.StateFinding, "", "")
	found.Findings, found.More = []*meshv1.CheckFinding{{Message: "it is \x1b[1mbroken", Fix: "repair it"}}, 2
	earlier := push(doctor.StateFine, "a key of test mode", "")
	earlier.At = timestamppb.New(at.Add(-time.Hour))
	answer := &controlv1.GetFindingsResponse{Checks: []*controlv1.CheckStatus{
		{Id: doctor.StripeKey, State: doctor.StateFine, Looks: []*controlv1.CheckLook{
			push(doctor.StateFine, "a key of test mode", ""), earlier,
		}},
		{Id: doctor.StripeMode, State: doctor.StateNotLooked, Looks: []*controlv1.CheckLook{
			push(doctor.StateNotLooked, "", "no answer"),
			{Service: "pull", State: doctor.StateNotLooked, Reason: "no process of pull is known to run"},
		}},
		{Id: doctor.StripeWritePrices, State: doctor.StateFinding, Looks: []*controlv1.CheckLook{
			push(doctor.StateFine, "", ""), found,
		}},
		{Id: doctor.StripeReachable, State: "perhaps"},
	}}
	report := doctor.ReportOf(answer, doctor.Selection{
		Only: []string{"stripe"},
		Skip: []string{doctor.StripeWebhookSecret},
	})
	earliest := at.Add(-time.Hour)
	require.Equal(t, []doctor.Fine{{
		ID: doctor.StripeKey, Saw: "a key of test mode", By: `push (host-\x1ba, process 7)`, At: &earliest,
	}}, report.Fine)
	require.Len(t, report.Findings, 1)
	f := report.Findings[0]
	require.Equal(t, `it is \x1b[1mbroken; and 2 more: driftless doctor --only stripe.write_prices`, f.Message)
	require.Equal(t, `push (host-\x1ba, process 7)`, f.By)
	require.Equal(t, at, *f.At)
	require.Equal(t, doctor.Error, f.Severity)
	require.NotEmpty(t, f.Why)
	check, _ := doctor.Find(doctor.StripeWritePrices)
	require.Equal(t, check.Fix, f.Fix, "the record of a process is not signed")
	require.Equal(t, "repair it", f.Proposed)
	why := map[string]string{}
	for _, n := range report.NotLooked {
		why[n.ID] = n.Reason
	}
	require.Equal(t, `push (host-\x1ba, process 7): no answer; no process of pull is known to run`,
		why[doctor.StripeMode])
	require.Contains(t, why, doctor.StripeReachable, "a state that is not known is not fine")
	require.Contains(t, why[doctor.StripeWebhook], "reconciliation does not know it")
	require.Equal(t, []string{doctor.StripeWebhookSecret}, report.Skipped)
	require.False(t, report.IsFine())

	report = doctor.ReportUnknown("it is away", doctor.Selection{Only: []string{"ledger"}})
	require.Len(t, report.NotLooked, 5)
	require.False(t, report.IsFine())
}
