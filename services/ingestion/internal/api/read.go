package api

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"

	ingestv1 "github.com/driftless-sync/driftless/proto/driftless/ingest/v1"
)

// maxReadProducts is how many products a call of ReadProducts may name.
const maxReadProducts = 20

// readTimeout bounds a read of the tables. A lock on a table can block the mapping's queries for hours, and the caller
// wants to know that at once.
const readTimeout = 5 * time.Second

// maxReads is the maximum number of concurrent reads. Capture takes its connections from the same pool.
const maxReads = 2

// ReadProducts reads products from the operator's tables, as the mapping sees them now.
func (s *server) ReadProducts(ctx context.Context,
	req *connect.Request[ingestv1.ReadProductsRequest],
) (*connect.Response[ingestv1.ReadProductsResponse], error) {
	ids := req.Msg.GetIds()
	if n := len(ids); n == 0 || n > maxReadProducts {
		return nil, connect.NewError(connect.CodeInvalidArgument,
			fmt.Errorf("ids: must be between 1 and %d, not %d", maxReadProducts, n))
	}
	if faults := checkIDs(ids); len(faults) > 0 {
		return nil, invalidArgument(faults)
	}
	readCtx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	select {
	case s.reads <- struct{}{}:
		defer func() { <-s.reads }()
	case <-readCtx.Done():
		if ctx.Err() != nil {
			return nil, s.callError(ctx, ctx.Err())
		}
		return nil, connect.NewError(connect.CodeUnavailable, fmt.Errorf(
			"%d other reads of products did not end within %s: is a table locked? See pg_blocking_pids()",
			maxReads, readTimeout))
	}
	products, err := s.Config.ReadProducts(readCtx, ids)
	switch {
	case err == nil:
		return connect.NewResponse(&ingestv1.ReadProductsResponse{Products: products}), nil
	case ctx.Err() == nil && errors.Is(readCtx.Err(), context.DeadlineExceeded):
		return nil, connect.NewError(connect.CodeUnavailable, fmt.Errorf(
			"the queries of the mapping did not answer within %s: is a table locked? See pg_blocking_pids()",
			readTimeout))
	default:
		return nil, s.callError(ctx, err)
	}
}
