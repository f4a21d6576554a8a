package push

import (
	"fmt"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/budget"
	"github.com/driftless-sync/driftless/services/internal/doctor/selfcheck"
	"github.com/driftless-sync/driftless/services/internal/heartbeat"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// heartbeat returns what this process says about itself.
func (p *pusher) heartbeat(gate *state.Gate, calls *budget.Budget, checker *selfcheck.Checker) heartbeat.Config {
	describeCalls := calls.Describer()
	return heartbeat.Config{
		Service: topology.Push,
		Mesh:    p.mesh,
		Ready:   p.mesh.Ready,
		Counters: map[string]func() uint64{
			"products": p.work.Done,
			"calls":    calls.Calls,
		},
		Describe: func(process *meshv1.Process) {
			p.work.Describe(process)
			describeCalls(process)
			checker.Describe(process)
			process.Doing = p.doing(gate.Paused(), process.GetWorking())
		},
	}
}

// doing describes what this process does now.
func (p *pusher) doing(paused bool, working uint64) string {
	switch {
	case paused:
		return "paused"
	case p.halted.Load():
		return "halted: Stripe refuses the key"
	case working == 1:
		return "syncs 1 product"
	case working > 1:
		return fmt.Sprintf("syncs %d products", working)
	default:
		return "waits for changes"
	}
}
