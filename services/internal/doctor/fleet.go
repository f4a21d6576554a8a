package doctor

import (
	"fmt"
	"time"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/visible"
)

// FleetOf returns the processes of services at a time, without those that stopped in an orderly way.
func FleetOf(services []*controlv1.ServiceStatus, at time.Time) Fleet {
	f := Fleet{Absent: map[string]string{}}
	for _, s := range services {
		if s.GetRunning() == 0 {
			f.Absent[s.GetService()] = s.GetProblem()
		}
		for _, p := range s.GetProcesses() {
			process := Process{
				Service: s.GetService(),
				At:      Whereabouts(p.GetProcess()),
				Version: visible.Text(p.GetProcess().GetVersion()),
			}
			switch p.GetState() {
			case "running":
			case "lost":
				// At least a moment: 0 would mean that it runs.
				process.LostFor = max(at.Sub(p.GetProcess().GetAt().AsTime()), time.Nanosecond)
			default:
				continue
			}
			f.Processes = append(f.Processes, process)
		}
	}
	return f
}

// Whereabouts says where a process runs.
func Whereabouts(p *meshv1.Process) string {
	if p.GetHost() == "" {
		return "process " + visible.Text(p.GetInstance())
	}
	return fmt.Sprintf("%s, process %d", visible.Text(p.GetHost()), p.GetPid())
}
