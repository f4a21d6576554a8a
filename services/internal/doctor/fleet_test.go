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

func TestFleetOf_LeavesOutProcessesThatStopped(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 27, 3, 0, 0, 0, time.UTC)
	process := func(state, host string, ago time.Duration) *controlv1.ProcessStatus {
		return &controlv1.ProcessStatus{State: state, Process: &meshv1.Process{
			Instance: "x1", Host: host, Pid: 7, Version: "0.1.0", At: timestamppb.New(now.Add(-ago)),
		}}
	}
	got := doctor.FleetOf([]*controlv1.ServiceStatus{
		{Service: "push", Running: 1, Processes: []*controlv1.ProcessStatus{
			process("running", "host-a", time.Second), process("stopped", "host-b", time.Minute),
			process("lost", "host-\x1b[1mc", time.Minute), process("lost", "", 0),
		}},
		{Service: "pull", Problem: "does not run: stopped 1 s ago"},
	}, now)
	require.Equal(t, doctor.Fleet{
		Processes: []doctor.Process{
			{Service: "push", At: "host-a, process 7", Version: "0.1.0"},
			{Service: "push", At: `host-\x1b[1mc, process 7`, Version: "0.1.0", LostFor: time.Minute},
			{Service: "push", At: "process x1", Version: "0.1.0", LostFor: time.Nanosecond},
		},
		Absent: map[string]string{"pull": "does not run: stopped 1 s ago"},
	}, got)
	require.Equal(t, 1, got.Running("push"))
}
