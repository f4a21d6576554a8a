package control

import (
	"context"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/health"
)

// GetSettings returns the settings that the running processes announce.
func (c control) GetSettings(ctx context.Context,
	req *connect.Request[controlv1.GetSettingsRequest],
) (*connect.Response[controlv1.GetSettingsResponse], error) {
	processes, now, err := c.Stores.Processes(ctx, c.Account)
	if err != nil {
		return nil, unavailable(err)
	}
	services, ok := health.Settings(processes, now, req.Msg.GetService())
	if !ok {
		return nil, invalid("service: %q is not one of ingestion, push, pull and reconciliation", req.Msg.GetService())
	}
	return connect.NewResponse(&controlv1.GetSettingsResponse{Services: services, At: timestamppb.New(now)}), nil
}
