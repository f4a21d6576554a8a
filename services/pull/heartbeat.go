package pull

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/doctor/selfcheck"
	"github.com/driftless-sync/driftless/services/internal/heartbeat"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// heartbeat returns what this process says about itself.
func (p *puller) heartbeat(gate *state.Gate, checker *selfcheck.Checker) heartbeat.Config {
	describeCalls := p.budget.Describer()
	return heartbeat.Config{
		Service: topology.Pull,
		Mesh:    p.mesh,
		Ready:   p.mesh.Ready,
		Counters: map[string]func() uint64{
			"events": p.received.Load,
			"calls":  p.budget.Calls,
		},
		Describe: func(process *meshv1.Process) {
			process.Doing = p.doing(gate.Paused())
			describeCalls(process)
			checker.Describe(process)
			if at := p.webhookAt.Load(); at != 0 {
				process.LastWebhookAt = timestamppb.New(time.Unix(0, at))
			}
			if n, since := p.polledOnly.read(); n > 0 {
				process.OnlyPolled, process.OnlyPolledSince = n, timestamppb.New(since)
			}
		},
	}
}

// doing describes what this process does now.
func (p *puller) doing(paused bool) string {
	switch {
	case paused:
		return "paused; stores webhooks"
	case p.scanning.Load() > 0:
		return "scans Stripe"
	default:
		return "waits for events"
	}
}
