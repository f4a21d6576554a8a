package web

import (
	"connectrpc.com/connect"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
)

// ReadEquality returns up to when both sides are known, and why they are not known now. A page reads it before its
// list, so that the list is at least as recent.
func ReadEquality(v *Visit) (*controlv1.Equality, error) {
	// A list of drift is the cheapest answer that rests on it.
	answer, err := v.Control.ListDrift(v.Context(), connect.NewRequest(&controlv1.ListDriftRequest{Limit: 1}))
	if err != nil {
		return nil, err
	}
	return answer.Msg.GetEquality(), nil
}
