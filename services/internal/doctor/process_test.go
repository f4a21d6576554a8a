package doctor_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/doctor"
)

func TestJudgeFleet_FindsVersionsAndLostProcesses(t *testing.T) {
	t.Parallel()
	self := doctor.Process{Service: "driftless", At: "this command", Version: "0.2.0"}
	one := doctor.Process{Service: "push", At: "host-a, process 7", Version: "0.2.0"}
	other := doctor.Process{Service: "push", At: "host-b, process 8", Version: "0.1.0"}
	lost := doctor.Process{Service: "push", At: "host-c, process 9", Version: "0.0.9", LostFor: 90 * time.Second}

	found, notLooked := judged(t, func(r *doctor.Recorder) {
		doctor.JudgeFleet(r, doctor.Fleet{Processes: []doctor.Process{one}}, self)
	})
	require.Empty(t, found)
	require.Empty(t, notLooked)

	found, _ = judged(t, func(r *doctor.Recorder) {
		doctor.JudgeFleet(r, doctor.Fleet{Processes: []doctor.Process{one, other}}, self)
	})
	require.Equal(t, map[string]string{
		doctor.ServicesVersion: "there are 2 versions: 0.1.0: push (host-b, process 8); " +
			"0.2.0: driftless (this command), push (host-a, process 7)",
	}, found)

	found, _ = judged(t, func(r *doctor.Recorder) {
		doctor.JudgeFleet(r, doctor.Fleet{Processes: []doctor.Process{one, lost}}, self)
	})
	require.Equal(t, map[string]string{
		doctor.ServicesLost: "push (host-c, process 9) was last heard of 1m30s ago and did not stop in an orderly way; " +
			"1 other process of it runs",
	}, found, "a lost process has no version any more")

	_, notLooked = judged(t, func(r *doctor.Recorder) {
		doctor.JudgeFleet(r, doctor.Fleet{Absent: map[string]string{"pull": "runs, but its version is too old"}}, self)
	})
	require.Contains(t, notLooked[doctor.ServicesVersion], "pull runs, but its version is too old")
	require.Contains(t, notLooked, doctor.ServicesLost)
}
