package push

import (
	"testing"

	"github.com/stretchr/testify/require"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/push/internal/plan"
)

func TestAdmit_HoldsAPlanForTheFirstFinding(t *testing.T) {
	d := plan.Decision{Plan: &plan.Plan{Change: &catalogv1.ProductChange{ProductId: "mug"}}}
	p := &pusher{}
	require.NoError(t, p.admit(t.Context(), d))

	// The guard on archived products is off, so it lets the plan pass.
	d.Findings = []plan.Finding{
		{Rule: plan.ArchivedProducts},
		{Rule: plan.CreationsOnHold, Why: plan.WhyCreationsOnHold},
		{Rule: "another", Why: "too dear"},
	}
	held := new(heldError)
	require.ErrorAs(t, p.admit(t.Context(), d), &held)
	require.ErrorContains(t, held, "product mug: not created because push_create is off")
	require.Equal(t, createRetryDelay, held.retryIn)

	d.Findings = d.Findings[2:]
	require.ErrorAs(t, p.admit(t.Context(), d), &held)
	require.EqualError(t, held, "product mug: too dear", "a rule that needs no record joins without code here")
	require.Equal(t, guardRetryDelay, held.retryIn)
}
