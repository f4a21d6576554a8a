package control

import (
	"context"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/internal/auth"
)

// WhoAmI says who the caller is.
func (c control) WhoAmI(ctx context.Context,
	_ *connect.Request[controlv1.WhoAmIRequest],
) (*connect.Response[controlv1.WhoAmIResponse], error) {
	p := auth.From(ctx)
	out := &controlv1.WhoAmIResponse{
		Name:       p.Token,
		Role:       p.Role.String(),
		Actor:      p.Actor,
		Account:    c.Account,
		Version:    c.Version,
		RecordedAs: p.Name(),
		Delegate:   p.Delegate,
		Open:       p.Open,
	}
	if !p.Expires.IsZero() {
		out.ExpiresAt = timestamppb.New(p.Expires)
	}
	return connect.NewResponse(out), nil
}
