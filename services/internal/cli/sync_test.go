package cli

import (
	"errors"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
)

func TestSync_UnknownProductIsNotEqual(t *testing.T) {
	s := &stub{plan: func() (*controlv1.PlanResponse, error) {
		return nil, connect.NewError(connect.CodeUnavailable, errors.New("no connection to its streams"))
	}}
	cmd := syncCmd{address: address{Control: s.serve(t)}, Products: []string{"mug"}, Timeout: 300 * time.Millisecond}
	require.ErrorIs(t, cmd.Run(t.Context(), &cli{}), errDiffers, "there was no answer")

	s = &stub{plan: func() (*controlv1.PlanResponse, error) {
		return &controlv1.PlanResponse{Unknown: []string{"mgu"}, Equality: equalNow()}, nil
	}}
	cmd = syncCmd{address: address{Control: s.serve(t)}, Products: []string{"mgu"}, Timeout: time.Minute}
	require.ErrorIs(t, cmd.Run(t.Context(), &cli{}), errDiffers)
	plan := planCmd{address: cmd.address, Products: cmd.Products}
	plan.Ingest, plan.WaitConverged = plan.Control, time.Minute
	require.ErrorContains(t, plan.Run(t.Context(), &cli{}), "mgu: neither side has it")
}

// The catalog never had the product, and the account leaves such products alone.
func TestSyncAndPlan_ProductOnlyInStripeIsNotEqual(t *testing.T) {
	url := (&stub{plan: func() (*controlv1.PlanResponse, error) {
		return &controlv1.PlanResponse{Compared: 1, OnlyInStripe: []string{"prod_X"}, Equality: equalNow()}, nil
	}}).serve(t)
	for _, command := range []string{"plan", "sync"} {
		out, code := outputOf(t, command, "prod_X", "--control", url, "--ingest", url)
		require.Equal(t, 2, code, command)
		require.Contains(t, out, "only Stripe has it", command)
		require.NotContains(t, out, ", equal", command)
		require.NotContains(t, out, "No differences", command)
	}
	_, code := outputOf(t, "plan", "prod_X", "--wait-converged", "1m", "--control", url, "--ingest", url)
	require.Equal(t, 2, code, "it will not become equal")
}
