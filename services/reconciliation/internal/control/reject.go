package control

import (
	"context"
	"errors"

	"connectrpc.com/connect"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
)

// Reject is not there yet.
func (control) Reject(context.Context, *connect.Request[controlv1.RejectRequest]) (
	*connect.Response[controlv1.RejectResponse], error,
) {
	return nil, connect.NewError(connect.CodeUnimplemented, errors.New("not there yet"))
}
