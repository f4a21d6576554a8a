package reconciliation

import (
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/doctor/selfcheck"
	"github.com/driftless-sync/driftless/services/internal/heartbeat"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// heartbeat returns what this process says about itself.
func (r *reconciler) heartbeat(checker *selfcheck.Checker) heartbeat.Config {
	return heartbeat.Config{
		Service: topology.Reconciliation,
		Mesh:    r.mesh,
		Ready:   r.HTTP.Ready,
		Describe: func(process *meshv1.Process) {
			process.Doing = "keeps the ledger"
			checker.Describe(process)
		},
	}
}
