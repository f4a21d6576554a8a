package api

import (
	"context"

	"connectrpc.com/connect"

	"github.com/driftless-sync/driftless/services/internal/auth"
)

// actorOf returns who makes a change, for the log. requested is the name in the request. It returns an empty name if
// the API asks for no token and the request does not say who it is from: then nobody knows.
func actorOf(ctx context.Context, requested string) (string, error) {
	caller := auth.From(ctx)
	name, _, err := caller.As(requested)
	switch {
	case err != nil:
		return "", connect.NewError(connect.CodeInvalidArgument, err)
	case caller.Open && requested == "":
		return "", nil
	default:
		return name, nil
	}
}
