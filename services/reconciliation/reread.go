package reconciliation

import (
	"context"

	"connectrpc.com/connect"
	"github.com/nats-io/nuid"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
)

// Reread commands ingestion to read products again from the operator's tables, or the whole catalog if none are named.
func (c control) Reread(ctx context.Context,
	req *connect.Request[controlv1.RereadRequest],
) (*connect.Response[controlv1.RereadResponse], error) {
	ids := req.Msg.GetProductIds()
	id := nuid.Next()
	if err := c.backfill(ctx, ids, operator, "requested", id); err != nil {
		return nil, unavailable(err)
	}
	return connect.NewResponse(&controlv1.RereadResponse{Id: id}), nil
}
