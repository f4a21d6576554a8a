package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/doctor"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/internal/visible"
)

// fleet asks reconciliation for the records of all processes.
func (p *patient) fleet(ctx context.Context, at map[string]string) (doctor.Fleet, error) {
	if at[topology.Reconciliation] == "" {
		return doctor.Fleet{}, errors.New("the address of reconciliation is unknown: set --control")
	}
	control, err := address{Control: at[topology.Reconciliation]}.control(p.withToken())
	if err != nil {
		return doctor.Fleet{}, err
	}
	answer, err := control.ListProcesses(ctx, connect.NewRequest(&controlv1.ListProcessesRequest{}))
	if err != nil {
		return doctor.Fleet{}, err
	}
	return fleetOf(answer.Msg), nil
}

// fleetOf leaves out processes that stopped in an orderly way.
func fleetOf(answer *controlv1.ListProcessesResponse) doctor.Fleet {
	f := doctor.Fleet{Absent: map[string]string{}}
	for _, s := range answer.GetServices() {
		if s.GetRunning() == 0 {
			f.Absent[s.GetService()] = s.GetProblem()
		}
		for _, p := range s.GetProcesses() {
			process := doctor.Process{
				Service: s.GetService(),
				At:      whereabouts(p.GetProcess()),
				Version: visible.Text(p.GetProcess().GetVersion()),
			}
			switch p.GetState() {
			case "running":
			case "lost":
				// At least a moment: 0 would mean that it runs.
				process.LostFor = max(answer.GetAt().AsTime().Sub(p.GetProcess().GetAt().AsTime()), time.Nanosecond)
			default:
				continue
			}
			f.Processes = append(f.Processes, process)
		}
	}
	return f
}

// whereabouts says where a process runs.
func whereabouts(p *meshv1.Process) string {
	if p.GetHost() == "" {
		return "process " + visible.Text(p.GetInstance())
	}
	return fmt.Sprintf("%s, process %d", visible.Text(p.GetHost()), p.GetPid())
}
