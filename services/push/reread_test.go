package push_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// reads counts the calls that only read.
func (r *rig) reads() (n int) {
	r.t.Helper()
	stats, err := r.admin.Stats(r.t.Context())
	require.NoError(r.t, err)
	for endpoint, s := range stats.Endpoints {
		if strings.HasPrefix(endpoint, http.MethodGet) {
			n += s.Requests
		}
	}
	return n
}

func TestReread_DoesNotReadALongHistory(t *testing.T) {
	r := newRig(t)
	r.push()
	r.want(mug("Mug", "1400"), 10)
	first := r.applied("mug", 10).GetPrices()[0].GetStripeId()
	r.want(mug("Mug", "1500"), 20)
	r.applied("mug", 20)
	// The catalog's price is older than a history of six pages.
	for i := range 600 {
		_, err := r.admin.CreatePrice(t.Context(),
			url.Values{"product": {"mug"}, "currency": {"eur"}, "unit_amount": {fmt.Sprint(i)}, "active": {"false"}},
			false)
		require.NoError(t, err)
	}
	look := func() int {
		t.Helper()
		require.NoError(t, r.admin.EditProduct(t.Context(), "mug", url.Values{"name": {"By hand"}}))
		before, writes := r.reads(), r.calls()["POST /v1/products/{id}"]
		r.command(&meshv1.SyncProduct{ProductId: "mug", Look: true})
		require.Eventually(t, func() bool {
			return r.calls()["POST /v1/products/{id}"] > writes && r.observed("mug").GetClaim() == nil
		}, patience, 5*time.Millisecond)
		return r.reads() - before
	}
	require.Equal(t, 2+5+1, look(), "the product, its active prices, five pages, and the price that is known")
	require.NotNil(t, catalog.FindPrice(r.observed("mug"), first), "it is known still")
	require.Len(t, r.observed("mug").GetPrices(), 2)
	second := r.observed("mug").GetProduct().GetDefaultPrice()
	r.want(mug("Mug", "1400"), 30)
	r.applied("mug", 30)
	require.Equal(t, first, r.observed("mug").GetProduct().GetDefaultPrice(), "and unarchived again")
	require.NoError(t, r.admin.DeletePrice(t.Context(), second))
	look()
	require.Len(t, r.observed("mug").GetPrices(), 1, "a price that is gone is not known for ever")
}
