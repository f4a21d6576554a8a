package control

import (
	"context"
	"slices"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/health"
)

// ListProcesses returns the processes of every service.
func (c control) ListProcesses(ctx context.Context,
	_ *connect.Request[controlv1.ListProcessesRequest],
) (*connect.Response[controlv1.ListProcessesResponse], error) {
	consumers, err := c.Mesh.Consumers(ctx)
	if err != nil {
		return nil, unavailable(err)
	}
	services, now, err := c.services(ctx, consumers)
	if err != nil {
		return nil, unavailable(err)
	}
	return connect.NewResponse(&controlv1.ListProcessesResponse{Services: services, At: timestamppb.New(now)}), nil
}

// services returns the state of every service, and the time of the NATS server.
func (c control) services(ctx context.Context, consumers []mesh.ConsumerStatus) (services []*controlv1.ServiceStatus,
	now time.Time, err error,
) {
	stores := c.Stores
	processes, now, err := stores.Processes(ctx, c.Account)
	if err != nil {
		return nil, now, err
	}
	for _, p := range processes {
		// GetSettings and GetFindings have them.
		p.Settings, p.Checks = nil, nil
	}
	return health.Services(health.Evidence{
		Processes:       processes,
		Now:             now,
		AsksForMessages: asksForMessages(consumers),
	}), now, nil
}

// asksForMessages returns a function that reports whether a process of a service asks for messages.
func asksForMessages(consumers []mesh.ConsumerStatus) func(service string) bool {
	return func(service string) bool {
		return slices.ContainsFunc(consumers, func(s mesh.ConsumerStatus) bool {
			return s.Waiting > 0 && slices.Contains(health.Consumers[service], s.Consumer)
		})
	}
}
