package cli

import (
	"context"
	"errors"

	"connectrpc.com/connect"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/internal/doctor"
	"github.com/driftless-sync/driftless/services/internal/topology"
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
	return doctor.FleetOf(answer.Msg.GetServices(), answer.Msg.GetAt().AsTime()), nil
}
