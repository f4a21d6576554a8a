package reconciliation_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// refuseMessages makes a stream refuse every message until the returned function is called.
func (r *rig) refuseMessages(stream string) (accept func()) {
	r.t.Helper()
	set := func(maxSize int32) {
		s, err := r.mesh.JetStream().Stream(r.t.Context(), stream)
		require.NoError(r.t, err)
		cfg := s.CachedInfo().Config
		cfg.MaxMsgSize = maxSize
		_, err = r.mesh.JetStream().UpdateStream(r.t.Context(), cfg)
		require.NoError(r.t, err)
	}
	set(1)
	return func() { set(-1) }
}

// The drift is stored although its command and its outcome cannot be published. They are published later, once each.
func TestOutbox_PublishesLaterWhatFailed(t *testing.T) {
	for name, c := range map[string]struct {
		replicas int
		restart  bool
	}{
		"by the same process":    {1, false},
		"after a restart":        {1, true},
		"by either of two":       {2, false},
		"by two after a restart": {2, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			commands := r.commands("mug")
			var stops []func()
			start := func() {
				for range c.replicas {
					stops = append(stops, r.start())
				}
			}
			start()
			r.ackCatalog()
			r.desire("mug", "Mug", 10)
			r.observe("mug", "Mug", 10)
			r.eventually("mug", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
			acceptCommands := r.refuseMessages(topology.StreamCommand)
			acceptOutcomes := r.refuseMessages(topology.StreamSync)
			r.observe("mug", "by hand", 10)
			r.eventuallyDrift("mug", "repairing")
			require.NotContains(t, r.kinds("mug"), "drifted")
			require.Zero(t, commands.Load())
			if c.restart {
				for _, stop := range stops {
					stop()
				}
			}
			acceptCommands()
			acceptOutcomes()
			if c.restart {
				start()
			}
			require.Eventually(t, func() bool { return commands.Load() == 1 }, patience, 10*time.Millisecond)
			drifted := func() (n int) {
				for _, kind := range r.kinds("mug") {
					if kind == "drifted" {
						n++
					}
				}
				return n
			}
			require.Eventually(t, func() bool { return drifted() == 1 }, patience, 10*time.Millisecond)
			localtest.Holds(t, 2*grace, func() bool { return commands.Load() == 1 && drifted() == 1 }, "once each")
		})
	}
}

// The command after a decision is another one than the repair before it, which JetStream remembers.
func TestResolveDrift_CommandsAtOnceAfterRepair(t *testing.T) {
	r := newRig(t)
	commands := r.commands("mug")
	r.start()
	r.ackCatalog()
	r.desire("mug", "Mug", 10)
	r.observe("mug", "Mug", 10)
	r.eventually("mug", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	r.observe("mug", "by hand", 10)
	r.eventuallyDrift("mug", "repairing")
	for n := range int64(3) {
		require.Eventually(t, func() bool { return commands.Load() == n+1 }, patience, 10*time.Millisecond,
			"command %d", n+1)
		status, answer := r.call("ResolveDrift", `{"productId": "mug", "keep": "KEEP_CATALOG"}`)
		require.Equal(t, http.StatusOK, status, string(answer))
	}
	require.Eventually(t, func() bool { return commands.Load() == 4 }, patience, 10*time.Millisecond)
}
