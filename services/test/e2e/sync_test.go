package e2e_test

import (
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	ingestv1 "github.com/driftless-sync/driftless/proto/driftless/ingest/v1"
	"github.com/driftless-sync/driftless/services/stripesim"
)

// TestSync_NamesUnknownProducts: reconciliation may read CATALOG and OBSERVED with its own NATS user, and finds there
// that nobody has the product. It may also read all that it needs to say where a product is.
func TestSync_NamesUnknownProducts(t *testing.T) {
	t.Parallel()
	r := newRig(t, stripesim.Config{Limits: stripesim.Limits{Off: true}})
	r.upsert(mug("Mug", "1400"))
	r.waitConverged()
	known, err := r.sync("mug")
	require.NoError(t, err)
	require.Empty(t, known.Msg.GetUnknown())
	require.True(t, r.explain("mug", "mug").GetEqual())
	none, err := r.sync("nosuch")
	require.NoError(t, err)
	require.Equal(t, []string{"nosuch"}, none.Msg.GetUnknown())
}

// explain asks why about an id, with the row of a product.
func (r *rig) explain(id, product string) *controlv1.Explanation {
	r.t.Helper()
	rows, err := r.ingest.ReadProducts(r.t.Context(),
		connect.NewRequest(&ingestv1.ReadProductsRequest{Ids: []string{product}}))
	require.NoError(r.t, err)
	resp, err := r.control.Explain(r.t.Context(),
		connect.NewRequest(&controlv1.ExplainRequest{Id: id, Rows: rows.Msg.GetProducts()}))
	require.NoError(r.t, err)
	require.Len(r.t, resp.Msg.GetExplanations(), 1)
	return resp.Msg.GetExplanations()[0]
}
