package control

import (
	"cmp"
	"context"
	"fmt"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// ListRetries returns the products that push tries again later.
func (c control) ListRetries(ctx context.Context,
	req *connect.Request[controlv1.ListRetriesRequest],
) (*connect.Response[controlv1.ListRetriesResponse], error) {
	limit := int(cmp.Or(req.Msg.GetLimit(), defaultLimit))
	out := &controlv1.ListRetriesResponse{}
	var err error
	if out.Retries, out.Next, err = c.Mesh.RetriesAfter(ctx, topology.Push, c.Account, req.Msg.GetAfter(),
		limit); err != nil {
		return nil, unavailable(err)
	}
	if out.Total, err = c.Mesh.RetryingCount(ctx, topology.Push, c.Account); err != nil {
		return nil, unavailable(err)
	}
	now, err := c.Mesh.Clock().Now(ctx)
	if err != nil {
		return nil, unavailable(err)
	}
	out.At = timestamppb.New(now)
	if out.Due, err = c.dueRetries(ctx); err != nil {
		return nil, unavailable(err)
	}
	return connect.NewResponse(out), nil
}

// dueRetries returns how many attempts push has not made although they are due. NATS keeps no schedule of these.
func (c control) dueRetries(ctx context.Context) (uint64, error) {
	v, err := c.readView(ctx)
	if err != nil {
		return 0, err
	}
	for _, s := range v.Consumers {
		if s.Consumer == topology.PushRetry {
			return s.Pending + s.InFlight, nil
		}
	}
	return 0, fmt.Errorf("the consumer of push's retries is missing on stream %s", topology.StreamRetry)
}
