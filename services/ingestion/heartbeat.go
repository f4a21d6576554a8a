package ingestion

import (
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/doctor/selfcheck"
	"github.com/driftless-sync/driftless/services/internal/heartbeat"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// heartbeat returns what this process says about itself.
func (in *ingester) heartbeat(checker *selfcheck.Checker) heartbeat.Config {
	return heartbeat.Config{
		Service:  topology.Ingestion,
		Mesh:     in.mesh,
		Ready:    in.ready,
		Counters: map[string]func() uint64{"products": in.published.Load},
		Describe: func(process *meshv1.Process) {
			process.Role, process.Doing = in.turns.role(), in.doing()
			checker.Describe(process)
		},
	}
}

// doing describes what this process does now. The report of capture has the details.
func (in *ingester) doing() string {
	switch {
	case in.gate.Paused():
		return "paused"
	case in.turns.current() != nil && !in.snapshot.isDone():
		return "reads the log of slot " + in.Slot + ", compares the tables"
	case in.turns.current() != nil:
		return "reads the log of slot " + in.Slot
	case in.turns.isStandby.Load():
		return "stands by"
	default:
		return "starts"
	}
}
