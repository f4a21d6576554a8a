package control

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/doctor"
	"github.com/driftless-sync/driftless/services/internal/doctor/selfcheck"
	"github.com/driftless-sync/driftless/services/internal/mesh"
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
	services := health.Services(health.Evidence{
		Processes:       processes,
		Now:             now,
		AsksForMessages: asksForMessages(consumers),
	})
	checks := health.Findings(processes, now, ownResults(ctx, services, consumers, now))
	return connect.NewResponse(&controlv1.GetFindingsResponse{
		Checks: checks, At: timestamppb.New(now), Account: c.Account,
	}), nil
}

// ownResults makes the checks of the services, which rest on the records of the processes alone.
func ownResults(ctx context.Context, services []*controlv1.ServiceStatus, consumers []mesh.ConsumerStatus,
	now time.Time,
) health.Own {
	host, _ := os.Hostname()
	covers := []string{
		doctor.ServicesRunning, doctor.ServicesReady, doctor.ServicesVersion, doctor.ServicesLost,
	}
	report := doctor.Run(ctx, []doctor.Probe{{
		Name: "services", Covers: covers,
		Run: func(_ context.Context, r *doctor.Recorder) error {
			judgeServices(r, services, consumers)
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

// judgeServices records which services do not run or take no messages, and which processes are not ready.
func judgeServices(r *doctor.Recorder, services []*controlv1.ServiceStatus, consumers []mesh.ConsumerStatus) {
	asks := asksForMessages(consumers)
	running := 0
	for _, s := range services {
		switch {
		case s.GetRunning() > 0:
			running += int(s.GetRunning())
			judgeWork(r, s.GetService(), consumers)
		case asks(s.GetService()), s.GetService() == topology.Reconciliation:
			// Something runs that says nothing of itself. Reconciliation answers, so it runs.
			r.NotLooked(s.GetService()+" "+s.GetProblem(), doctor.ServicesRunning, doctor.ServicesReady)
		default:
			r.Foundf(doctor.ServicesRunning, "", "%s %s", s.GetService(), s.GetProblem())
			r.NotLooked(s.GetService()+" does not run", doctor.ServicesReady)
		}
		judgeReady(r, s)
	}
	r.Sawf(doctor.ServicesRunning, "%s", countProcesses(running))
	r.Sawf(doctor.ServicesReady, "%s", countProcesses(running))
}

// judgeWork records whether a service that runs may take no messages. A record alone does not prove that it works.
func judgeWork(r *doctor.Recorder, service string, consumers []mesh.ConsumerStatus) {
	if service == topology.Reconciliation {
		// It answers, and the status shows what waits for it.
		return
	}
	var paused, idle, busy []string
	asks := 0
	for _, s := range consumers {
		name := s.Stream + "/" + s.Name
		switch {
		case !slices.Contains(health.Consumers[service], s.Consumer):
		case s.Paused:
			paused = append(paused, name)
		case s.Waiting > 0:
			asks++
		case s.InFlight == 0:
			idle = append(idle, name)
		default:
			busy = append(busy, name)
		}
	}
	var why string
	switch {
	case len(paused) > 0:
		why = "gets no messages of " + strings.Join(paused, ", ") + ": it is paused or halted"
	case len(idle) > 0:
		why = "asks for no messages of " + strings.Join(idle, ", ") +
			": it is paused or halted, has just started, or hangs"
	case asks == 0:
		why = "asks for no more messages of " + strings.Join(busy, ", ") + ": it is busy, or hangs"
	default:
		return
	}
	r.NotLooked(fmt.Sprintf("%s runs, but %s. To watch it: %s", service, why, doctor.Command(doctor.ServicesRunning)),
		doctor.ServicesRunning)
}

// judgeReady records which processes of a service are not ready. One that has just started may become ready.
func judgeReady(r *doctor.Recorder, s *controlv1.ServiceStatus) {
	for _, p := range s.GetProcesses() {
		why := p.GetProcess().GetNotReady()
		switch {
		case why == "" || p.GetState() != "running":
		case health.IsStarting(p.GetProcess()):
			r.NotLooked(s.GetService()+" has just started", doctor.ServicesReady)
		default:
			r.Foundf(doctor.ServicesReady, "", "%s (%s) is not ready: %s", s.GetService(),
				doctor.Whereabouts(p.GetProcess()), why)
		}
	}
}

func countProcesses(n int) string {
	if n == 1 {
		return "1 process"
	}
	return fmt.Sprintf("%d processes", n)
}
