package e2e_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/stripesim"
)

// TestSync_NamesUnknownProducts: reconciliation may read CATALOG and OBSERVED with its own NATS user, and finds there
// that nobody has the product.
func TestSync_NamesUnknownProducts(t *testing.T) {
	t.Parallel()
	r := newRig(t, stripesim.Config{Limits: stripesim.Limits{Off: true}})
	r.upsert(mug("Mug", "1400"))
	r.waitConverged()
	known, err := r.sync("mug")
	require.NoError(t, err)
	require.Empty(t, known.Msg.GetUnknown())
	none, err := r.sync("nosuch")
	require.NoError(t, err)
	require.Equal(t, []string{"nosuch"}, none.Msg.GetUnknown())
}
