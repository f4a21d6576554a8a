package control

import (
	"context"
	"slices"
	"strings"

	"connectrpc.com/connect"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/view"
)

// Pause pauses services.
func (c control) Pause(ctx context.Context,
	req *connect.Request[controlv1.PauseRequest],
) (*connect.Response[controlv1.PauseResponse], error) {
	services, err := pausable(req.Msg.GetServices())
	if err != nil {
		return nil, err
	}
	asked, err := byCaller(ctx, req.Msg)
	if err != nil {
		return nil, err
	}
	duration, until := req.Msg.GetDuration().AsDuration(), "until it is resumed"
	if duration > 0 {
		until = "for " + duration.String()
	}
	out := &controlv1.PauseResponse{}
	for _, service := range services {
		pause, err := c.Stores.PauseService(ctx, service, duration, asked.actor, asked.reason)
		if err != nil {
			return nil, unavailable(err)
		}
		c.Logger.WarnContext(ctx, "paused", "paused_service", service, "for", duration, "actor", asked.actor,
			"reason", asked.reason)
		if err := c.recordForAll(ctx, asked, "paused", service+" "+until); err != nil {
			return nil, unavailable(err)
		}
		out.Paused = append(out.Paused, view.PausedService(service, pause))
	}
	return connect.NewResponse(out), nil
}

// Resume ends pauses. It returns the services that were paused.
func (c control) Resume(ctx context.Context,
	req *connect.Request[controlv1.ResumeRequest],
) (*connect.Response[controlv1.ResumeResponse], error) {
	services, err := pausable(req.Msg.GetServices())
	if err != nil {
		return nil, err
	}
	asked, err := byCaller(ctx, req.Msg)
	if err != nil {
		return nil, err
	}
	out := &controlv1.ResumeResponse{}
	for _, service := range services {
		was, err := c.Stores.ResumeService(ctx, service)
		if err != nil {
			return nil, unavailable(err)
		}
		if was {
			c.Logger.InfoContext(ctx, "resumed", "paused_service", service, "actor", asked.actor,
				"reason", asked.reason)
			if err := c.recordForAll(ctx, asked, "resumed", service); err != nil {
				return nil, unavailable(err)
			}
			out.Services = append(out.Services, service)
		}
	}
	return connect.NewResponse(out), nil
}

// pausable returns the services that a request names, all if it names none. It refuses services that cannot be paused.
func pausable(named []string) ([]string, error) {
	for _, service := range named {
		if !slices.Contains(state.Pausable, service) {
			return nil, invalid("services: %q cannot be paused; only %s can be", service,
				strings.Join(state.Pausable, ", "))
		}
	}
	if len(named) == 0 {
		return state.Pausable, nil
	}
	return named, nil
}
