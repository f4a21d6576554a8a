package reconciliation_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/controltest"
)

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
			r := controltest.New(t)
			commands := r.Commands("mug")
			var stops []func()
			start := func() {
				for range c.replicas {
					stops = append(stops, r.Start())
				}
			}
			start()
			r.AckCatalog()
			r.Desire("mug", "Mug", 10)
			r.Observe("mug", "Mug", 10)
			r.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
			acceptCommands := r.RefuseMessages(topology.StreamCommand)
			acceptOutcomes := r.RefuseMessages(topology.StreamSync)
			r.Observe("mug", "by hand", 10)
			r.EventuallyDrift("mug", "repairing")
			require.NotContains(t, r.Kinds("mug"), "drifted")
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
			require.Eventually(t, func() bool { return commands.Load() == 1 }, controltest.Patience,
				10*time.Millisecond)
			drifted := func() (n int) {
				for _, kind := range r.Kinds("mug") {
					if kind == "drifted" {
						n++
					}
				}
				return n
			}
			require.Eventually(t, func() bool { return drifted() == 1 }, controltest.Patience, 10*time.Millisecond)
			localtest.Holds(t, 2*controltest.Grace, func() bool { return commands.Load() == 1 && drifted() == 1 },
				"once each")
		})
	}
}
