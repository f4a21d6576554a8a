package push_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/catalog/catalogtest"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// TestRoundTrip_ReadsBackEveryField: every field goes through form parameters and Stripe's JSON. The product read after
// a push does not differ from the desired one.
func TestRoundTrip_ReadsBackEveryField(t *testing.T) {
	r := newRig(t)
	r.push()
	client := stripeapi.New(stripeapi.Config{Key: key, Base: r.simURL})
	var products atomic.Int64
	rapid.Check(t, func(t *rapid.T) {
		id := fmt.Sprintf("product-%d", products.Add(1))
		change := catalogtest.Change(id).Draw(t, "change")
		for edit := range rapid.IntRange(1, 3).Draw(t, "edits") {
			if edit > 0 {
				change = catalogtest.Edit(t, change)
			}
			change = proto.CloneOf(change)
			change.Account, change.ProductId, change.Version = "default", id, uint64(edit+1)
			require.NoError(t,
				r.mesh.Publish(r.t.Context(), topology.CatalogSubject("default", topology.Live, id), change,
					mesh.WithVersion(change.GetVersion())))
			require.Eventually(t, func() bool {
				o := r.observed(id)
				return o.GetVersion() >= change.GetVersion() && o.GetClaim() == nil && !o.GetStale() ||
					r.letter(id).GetVersion() == change.GetVersion()
			}, patience, time.Millisecond, "version %d", change.GetVersion())
			if !strict {
				require.Nil(t, r.letter(id), "%v", change)
			}

			product, prices, err := client.GetProductWithPrices(r.t.Context(), id)
			require.NoError(t, err)
			read := &catalogv1.Observed{Account: "default", ProductId: id}
			catalog.ObserveAll(read, product, prices)
			// Stripe does not record who owns a metadata key.
			known := r.observed(id)
			read.ManagedMetadata = known.GetManagedMetadata()
			for _, p := range read.GetPrices() {
				for _, k := range known.GetPrices() {
					if k.GetStripeId() == p.GetStripeId() {
						p.ManagedMetadata = k.GetManagedMetadata()
					}
				}
			}
			if r.letter(id).GetVersion() != change.GetVersion() {
				require.Empty(t, catalog.Diff(change, read))
				continue
			}
			for _, left := range catalog.Compare(change, read) {
				require.True(t, leftByAStrictStripe(left, read), "%+v is left, of %v", left, change)
			}
		}
	})
}

// leftByAStrictStripe reports whether a difference concerns a field that may not be cleared, or the price that stays on
// sale because it stays the default.
func leftByAStrictStripe(left catalog.Difference, read *catalogv1.Observed) bool {
	switch field := left.FieldOf(); field {
	case "statement_descriptor", "nickname", "default_price":
		return left.Catalog == ""
	case "active":
		byDefault := catalog.FindPrice(read, read.GetProduct().GetDefaultPrice())
		return left.Price != "" && byDefault.GetPrice().GetId() == left.Price && left.Kind == catalog.ArchivedInCatalog
	default:
		return false
	}
}
