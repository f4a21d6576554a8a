package reconciliation_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/controltest"
)

// For some seconds a client does not know that its NATS server hangs. Answers must say so already.
func TestControl_SaysThatNATSHangs(t *testing.T) {
	t.Parallel()
	rig := controltest.New(t)
	line := localtest.LineTo(t, rig.Config.NATS.URL)
	rig.Config.NATS.InProcess = line
	rig.Start()
	rig.Desire("mug", "Mug", 1)
	rig.Observe("mug", "Mug", 1)
	rig.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	line.Hang()
	status, answer := rig.Call("Explain", `{"id": "mug"}`)
	require.Equal(t, http.StatusOK, status, string(answer))
	require.Contains(t, string(answer), "NATS cannot be reached")
	require.Contains(t, string(answer), "docs/runbooks/DriftlessNatsDown.md")
	require.Contains(t, string(answer), "the two sides were equal")
}
