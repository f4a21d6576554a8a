package control

import (
	"context"
	"fmt"
	"os"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/doctor"
	"github.com/driftless-sync/driftless/services/internal/doctor/selfcheck"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/health"
)

// GetFindings returns what the running processes found in their own parts.
func (c control) GetFindings(ctx context.Context,
	_ *connect.Request[controlv1.GetFindingsRequest],
) (*connect.Response[controlv1.GetFindingsResponse], error) {
	consumers, err := c.Mesh.Consumers(ctx)
	if err != nil {
		return nil, unavailable(err)
	}
	processes, now, err := c.Stores.Processes(ctx, c.Account)
	if err != nil {
		return nil, unavailable(err)
	}
	asks := asksForMessages(consumers)
	services := health.Services(health.Evidence{Processes: processes, Now: now, AsksForMessages: asks})
	checks := health.Findings(processes, now, ownResults(ctx, services, asks, now))
	return connect.NewResponse(&controlv1.GetFindingsResponse{
		Checks: checks, At: timestamppb.New(now), Account: c.Account,
	}), nil
}

// ownResults makes the checks of the services, which rest on the records of the processes alone.
func ownResults(ctx context.Context, services []*controlv1.ServiceStatus, asks func(service string) bool,
	now time.Time,
) health.Own {
	host, _ := os.Hostname()
	covers := []string{
		doctor.ServicesRunning, doctor.ServicesReady, doctor.ServicesVersion, doctor.ServicesLost,
	}
	report := doctor.Run(ctx, []doctor.Probe{{
		Name: "services", Covers: covers,
		Run: func(_ context.Context, r *doctor.Recorder) error {
			judgeServices(r, services, asks)
			doctor.JudgeFleet(r, doctor.FleetOf(services, now))
			return nil
		},
	}}, doctor.Options{Selection: doctor.Selection{Only: covers}})
	results := selfcheck.Results(report)
	for _, result := range results {
		result.At, result.ExpiresAt = timestamppb.New(now), timestamppb.New(now)
	}
	return health.Own{
		Service: topology.Reconciliation,
		Process: doctor.Whereabouts(&meshv1.Process{Host: host, Pid: uint32(os.Getpid())}),
		Results: results,
	}
}

// judgeServices records which services do not run, and which processes are not ready.
func judgeServices(r *doctor.Recorder, services []*controlv1.ServiceStatus, asks func(service string) bool) {
	running := 0
	for _, s := range services {
		switch {
		case s.GetRunning() > 0:
			running += int(s.GetRunning())
		case asks(s.GetService()), s.GetService() == topology.Reconciliation:
			// Something runs that says nothing of itself. Reconciliation answers, so it runs.
			r.NotLooked(s.GetService()+" "+s.GetProblem(), doctor.ServicesRunning, doctor.ServicesReady)
		default:
			r.Foundf(doctor.ServicesRunning, "", "%s %s", s.GetService(), s.GetProblem())
			r.NotLooked(s.GetService()+" does not run", doctor.ServicesReady)
		}
		for _, p := range s.GetProcesses() {
			if why := p.GetProcess().GetNotReady(); why != "" && p.GetState() == "running" &&
				!health.IsStarting(p.GetProcess()) {
				r.Foundf(doctor.ServicesReady, "", "%s (%s) is not ready: %s", s.GetService(),
					doctor.Whereabouts(p.GetProcess()), why)
			}
		}
	}
	r.Sawf(doctor.ServicesRunning, "%s", countProcesses(running))
	r.Sawf(doctor.ServicesReady, "%s", countProcesses(running))
}

func countProcesses(n int) string {
	if n == 1 {
		return "1 process"
	}
	return fmt.Sprintf("%d processes", n)
}
