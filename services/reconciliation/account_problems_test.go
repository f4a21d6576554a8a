package reconciliation

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
)

// While the slot cannot be created capture starts again and again, and a stop that was reported has not ended.
func TestAccountProblems_ReportsCaptureThatOnlyStarts(t *testing.T) {
	a, at := &accountProblems{}, noon
	pass := func(d time.Duration, state meshv1.CaptureState, reason string) (string, bool) {
		at = at.Add(d)
		problem, known := a.capture(&controlv1.Equality{
			At:      timestamppb.New(at),
			Capture: &meshv1.CaptureReport{At: timestamppb.New(at), State: state, Reason: reason},
		}, at)
		if problem == nil {
			return "", known
		}
		require.Equal(t, noon, problem.Since)
		return problem.Reason, known
	}
	const starting, stopped = meshv1.CaptureState_CAPTURE_STATE_STARTING, meshv1.CaptureState_CAPTURE_STATE_STOPPED
	for _, step := range []struct {
		after  time.Duration
		state  meshv1.CaptureState
		reason string
		want   string
		known  bool
	}{
		{0, starting, "", "", false},
		{30 * time.Second, stopped, "no slot is free", "", false},
		{29 * time.Second, starting, "", "", false},
		{time.Second, starting, "", "capture is starting", true},
		{time.Second, stopped, "no slot is free", "no slot is free", true},
		{time.Second, meshv1.CaptureState_CAPTURE_STATE_READING, "", "", true},
	} {
		got, known := pass(step.after, step.state, step.reason)
		require.Equal(t, step.want, got, "%+v", step)
		require.Equal(t, step.known, known, "%+v", step)
	}
	require.Zero(t, a.captureIdleSince)
}
