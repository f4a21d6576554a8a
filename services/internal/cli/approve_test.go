package cli

import (
	"testing"

	"github.com/stretchr/testify/require"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
)

// A database can order ids in another way than their bytes: a before B.
func TestApprove_TakesAllPagesInAnyOrder(t *testing.T) {
	s := &stub{approve: func(req *controlv1.ApproveRequest) (*controlv1.ApproveResponse, error) {
		switch req.GetAfter() {
		case "":
			return &controlv1.ApproveResponse{ProductIds: []string{"a"}, Next: "a"}, nil
		case "a":
			return &controlv1.ApproveResponse{ProductIds: []string{"B"}, Next: "B"}, nil
		default:
			return &controlv1.ApproveResponse{ProductIds: []string{"c"}}, nil
		}
	}}
	code, out := printed(t, "approve", "--all", "--reason", "list price", "--control", s.serve(t), "-o", "json")
	require.Zero(t, code)
	require.Contains(t, out, `"c"`)
}
