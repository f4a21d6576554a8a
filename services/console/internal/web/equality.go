package web

import (
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
)

// equalityAge is how old an answer about equality may be. All pages and consoles then share the readings of the status.
const equalityAge = 2 * time.Second

// ReadEquality returns up to when both sides are known, and why they are not known now. A page reads it before its
// list, so that the list is at least as recent.
func ReadEquality(v *Visit) (*controlv1.Equality, error) {
	answer, err := v.Control.GetStatus(v.Context(), connect.NewRequest(&controlv1.GetStatusRequest{
		MaxAge: durationpb.New(equalityAge),
	}))
	if err != nil {
		return nil, err
	}
	return answer.Msg.GetEquality(), nil
}
