package push_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

func TestRun_MakesNoCallsWhilePaused(t *testing.T) {
	r := newRig(t)
	stop := r.push()
	r.want(mug("Mug", "1400"), 10)
	r.applied("mug", 10)
	_, err := r.stores.PauseService(t.Context(), topology.Push, 0, "", "")
	require.NoError(t, err)
	stop()

	// A restart and the end of a halt do not end the pause.
	require.NoError(t, r.stores.Halted("default").PutString(t.Context(), "an earlier key"))
	before := r.calls()
	r.push()
	r.want(mug("Large mug", "1400"), 20)
	localtest.Holds(t, 1500*time.Millisecond, func() bool { return r.observed("mug").GetVersion() == 10 }, "paused")
	require.Equal(t, before, r.calls())

	_, err = r.stores.ResumeService(t.Context(), topology.Push)
	require.NoError(t, err)
	r.applied("mug", 20)
}
