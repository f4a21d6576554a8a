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

	d.Findings = []plan.Finding{
		{Rule: plan.CreationsOnHold, Why: plan.WhyCreationsOnHold}, {Rule: "x", Why: "too dear"},
	}
	held := new(creationHeldError)
	require.ErrorAs(t, p.admit(t.Context(), d), &held)
	require.ErrorContains(t, held, "product mug: not created because push_create is off")
}
