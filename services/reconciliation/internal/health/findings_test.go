package health

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/doctor"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

var lookTime = time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC)

// checking is a process that runs and says what it found.
func checking(service, host string, results ...*meshv1.CheckResult) *meshv1.Process {
	return &meshv1.Process{
		Service: service, Instance: host, Host: host, Pid: 7, At: timestamppb.New(lookTime),
		Interval: durationpb.New(2 * time.Second), Checks: results,
	}
}

func result(id, state string, at time.Time) *meshv1.CheckResult {
	r := &meshv1.CheckResult{
		Id: id, State: state, At: timestamppb.New(at), ExpiresAt: timestamppb.New(at.Add(12 * time.Minute)),
	}
	if state == doctor.StateFinding {
		r.Findings = []*meshv1.CheckFinding{{Message: "it is broken", Fix: "repair it"}}
	}
	return r
}

func statusOf(t *testing.T, id string, own Own, processes ...*meshv1.Process) *controlv1.CheckStatus {
	t.Helper()
	all := Findings(processes, lookTime, own)
	require.Len(t, all, len(doctor.Checks()))
	for _, s := range all {
		if s.GetId() == id {
			return s
		}
	}
	require.Fail(t, "no such check", id)
	return nil
}

func TestFindings_IsFineOnlyIfAllWhoMakeTheCheckLookedLately(t *testing.T) {
	t.Parallel()
	const id = doctor.StripeKey
	now := lookTime.Add(-time.Minute)
	fine := func(service, host string) *meshv1.Process {
		return checking(service, host, result(id, doctor.StateFine, now))
	}
	lost := fine(topology.Pull, "c")
	lost.At = timestamppb.New(lookTime.Add(-time.Minute))
	stopped := fine(topology.Pull, "c")
	stopped.StoppedAt = timestamppb.New(lookTime)
	for name, c := range map[string]struct {
		processes []*meshv1.Process
		state     string
		// reason is that of the last look.
		reason string
	}{
		"all": {[]*meshv1.Process{fine(topology.Push, "a"), fine(topology.Pull, "b")}, doctor.StateFine, ""},
		"nobody": {
			nil, doctor.StateNotLooked, "no process of pull is known to run",
		},
		"half": {
			[]*meshv1.Process{fine(topology.Push, "a")},
			doctor.StateNotLooked,
			"no process of pull is known to run",
		},
		"lost": {
			[]*meshv1.Process{fine(topology.Push, "a"), lost},
			doctor.StateNotLooked,
			"no process of pull is known to run",
		},
		"stopped": {
			[]*meshv1.Process{fine(topology.Push, "a"), stopped},
			doctor.StateNotLooked,
			"no process of pull is known to run",
		},
		"an earlier version": {
			[]*meshv1.Process{fine(topology.Push, "a"), checking(topology.Pull, "b")},
			doctor.StateNotLooked, "the process makes no checks: it may be of an earlier version",
		},
		"other checks only": {
			[]*meshv1.Process{
				fine(topology.Push, "a"),
				checking(topology.Pull, "b", result(doctor.StripeMode, doctor.StateFine, now)),
			},
			doctor.StateNotLooked, "the process does not make this check: it may be of another version",
		},
		"an old result": {
			[]*meshv1.Process{
				fine(topology.Push, "a"),
				checking(topology.Pull, "b", result(id, doctor.StateFine, lookTime.Add(-13*time.Minute))),
			},
			doctor.StateNotLooked, "the latest look was 13m0s ago, and the next one is late",
		},
		"a result without a time": {
			[]*meshv1.Process{
				fine(topology.Push, "a"),
				checking(topology.Pull, "b", &meshv1.CheckResult{Id: id, State: doctor.StateFine}),
			},
			doctor.StateNotLooked, "the process does not say when it looked",
		},
		"a state of a later version": {
			[]*meshv1.Process{fine(topology.Push, "a"), checking(topology.Pull, "b", result(id, "perhaps", now))},
			doctor.StateNotLooked, `the result "perhaps" is not known: the process may be of a later version`,
		},
		"a finding of one of two": {
			[]*meshv1.Process{
				fine(topology.Push, "a"), checking(topology.Pull, "b", result(id, doctor.StateFinding, now)),
				fine(topology.Pull, "c"),
			},
			doctor.StateFinding, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := statusOf(t, id, Own{}, c.processes...)
			require.Equal(t, c.state, got.GetState())
			require.Equal(t, c.reason, got.GetLooks()[len(got.GetLooks())-1].GetReason())
			require.Equal(t, c.state == doctor.StateFine, got.GetCommand() == "")
		})
	}
}

func TestFindings_ShowsProcessesThatDiffer(t *testing.T) {
	t.Parallel()
	got := statusOf(t, doctor.StripeWritePrices, Own{},
		checking(topology.Push, "a", result(doctor.StripeWritePrices, doctor.StateFinding, lookTime)),
		checking(topology.Push, "b", result(doctor.StripeWritePrices, doctor.StateFine, lookTime)))
	require.Equal(t, "driftless doctor --only stripe.write_prices", got.GetCommand())
	check, _ := doctor.Find(doctor.StripeWritePrices)
	require.Equal(t, check.Fix, got.GetFix())
	require.Len(t, got.GetLooks(), 2)
	require.Equal(t, "a, process 7", got.GetLooks()[0].GetProcess())
	require.Equal(t, "repair it", got.GetLooks()[0].GetFindings()[0].GetFix())
	require.Equal(t, doctor.StateFine, got.GetLooks()[1].GetState())
}

func TestFindings_SaysWhatNoServiceLooksAt(t *testing.T) {
	t.Parallel()
	got := statusOf(t, doctor.NATSStream, Own{}, checking(topology.Push, "a"))
	require.Equal(t, doctor.StateNotLooked, got.GetState())
	require.Equal(t, "driftless doctor --only nats.stream", got.GetCommand())
	require.Empty(t, got.GetLooks()[0].GetService())

	own := Own{
		Service: topology.Reconciliation, Process: "d, process 8",
		Results: []*meshv1.CheckResult{result(doctor.ServicesLost, doctor.StateFine, lookTime)},
	}
	got = statusOf(t, doctor.ServicesLost, own)
	require.Equal(t, doctor.StateFine, got.GetState(), "the process that answers has looked")
	require.Equal(t, "d, process 8", got.GetLooks()[0].GetProcess())
}

func TestFindings_AStandbyDoesNotHideTheActiveReplica(t *testing.T) {
	t.Parallel()
	const id = "mapping.queries"
	left := func(host string) *meshv1.Process {
		return checking(topology.Ingestion, host, &meshv1.CheckResult{
			Id: id, State: doctor.StateNotLooked, Reason: doctor.LeftToActive, At: timestamppb.New(lookTime),
		})
	}
	for _, state := range []string{doctor.StateFine, doctor.StateFinding} {
		got := statusOf(t, id, Own{}, left("a"), checking(topology.Ingestion, "b", result(id, state, lookTime)),
			left("c"))
		require.Equal(t, state, got.GetState())
		require.Len(t, got.GetLooks(), 1)
		require.Equal(t, "b, process 7", got.GetLooks()[0].GetProcess())
	}
	got := statusOf(t, id, Own{}, left("a"),
		checking(topology.Ingestion, "b", result(id, doctor.StateFine, lookTime.Add(-time.Hour))))
	require.Equal(t, doctor.StateNotLooked, got.GetState(), "the active replica has not looked lately")
	require.Contains(t, got.GetLooks()[0].GetReason(), "the next one is late")

	got = statusOf(t, id, Own{}, left("a"), left("c"))
	require.Equal(t, doctor.StateNotLooked, got.GetState(), "no replica is active")
	require.Len(t, got.GetLooks(), 2)
}
