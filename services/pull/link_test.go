package pull_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v76"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// link links a Stripe product to the catalog's mug, as push does: first the link, then the observed state.
func (r *rig) link(stripeID string) {
	r.t.Helper()
	require.NoError(r.t, r.stores.Links().Put(r.t.Context(), "default", stripeID, "mug"))
	_, err := r.stores.Observed().Update(r.t.Context(), "default", "mug", func(o *catalogv1.Observed) error {
		o.StripeId = stripeID
		return nil
	})
	require.NoError(r.t, err)
}

func (r *rig) unknown(stripeID string) bool {
	r.t.Helper()
	o, _, err := r.stores.Observed().Get(r.t.Context(), "default", stripeID)
	require.NoError(r.t, err)
	return proto.Equal(o, &catalogv1.Observed{Account: "default", ProductId: stripeID})
}

func oldMug(name string, updated int64) map[string]any {
	object := productObject(name, updated)
	object["id"] = "prod_1"
	return object
}

func TestObserve_RecordsALinkedProductUnderTheCatalogsID(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.pull(time.Hour)
	// Without a link it is a product of its own.
	require.Equal(t, 200,
		r.send(event{ID: "evt_1", Type: "product.updated", Created: 100, Object: oldMug("An old mug", 100)}.body(),
			secret))
	require.Eventually(t, func() bool { return !r.unknown("prod_1") }, patience, 5*time.Millisecond)
	r.link("prod_1")
	require.NoError(t, r.stores.Observed().Forget(t.Context(), "default", "prod_1"))

	// One message is older than the link, and one later.
	body := event{ID: "evt_2", Type: "product.updated", Created: 200, Object: oldMug("A mug", 200)}.body()
	require.NoError(t, r.mesh.Publish(t.Context(), topology.StripeSubject("default", "prod_1"), &meshv1.StripeChange{
		Account: "default", ProductId: "prod_1", EventId: "evt_2", Type: "product.updated", ObjectId: "prod_1",
		Event: body,
	}))
	r.seen("A mug")
	require.Equal(t, 200,
		r.send(event{ID: "evt_3", Type: "product.updated", Created: 300, Object: oldMug("Mug", 300)}.body(), secret))
	r.seen("Mug")
	require.Equal(t, "prod_1", r.observed().GetProduct().GetId())
	require.True(t, catalog.SeenEvent(r.observed(), "evt_3"))
	require.True(t, r.unknown("prod_1"))
	stream, err := r.mesh.JetStream().Stream(t.Context(), topology.StreamStripe)
	require.NoError(t, err)
	msg, err := stream.GetLastMsgForSubject(t.Context(), topology.StripeSubject("default", "mug"))
	require.NoError(t, err)
	require.NotNil(t, msg)

	// An event about a product that has the catalog's id, but is not linked, is ignored.
	require.Equal(t, 200,
		r.send(event{
			ID:      "evt_4",
			Type:    "product.updated",
			Created: 400,
			Object:  productObject("Somebody's", 400),
		}.body(), secret))
	require.Equal(t, 200,
		r.send(event{ID: "evt_5", Type: "product.updated", Created: 500, Object: oldMug("Mug again", 500)}.body(),
			secret))
	r.seen("Mug again")
	require.False(t, catalog.SeenEvent(r.observed(), "evt_4"))
}

func TestObserve_WaitsForTheRecordOfALink(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.pull(time.Hour)
	require.NoError(t, r.stores.Links().Put(t.Context(), "default", "prod_1", "mug"))
	require.Equal(t, 200,
		r.send(event{ID: "evt_1", Type: "product.updated", Created: 100, Object: oldMug("Mug", 100)}.body(), secret))
	require.Eventually(t, func() bool {
		consumers, err := r.mesh.Consumers(t.Context())
		for _, c := range consumers {
			if c.Consumer == topology.PullStripe {
				return err == nil && c.Redelivered > 0
			}
		}
		return false
	}, patience, 5*time.Millisecond)
	require.Nil(t, r.observed().GetProduct())
	require.True(t, r.unknown("prod_1"))
	r.link("prod_1")
	r.seen("Mug")
}

func TestScan_FollowsLinks(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p, err := r.stripe.Products.New(&stripe.ProductParams{Name: stripe.String("Mug")})
	require.NoError(t, err)
	gone, err := r.stripe.Products.New(&stripe.ProductParams{Name: stripe.String("Cup")})
	require.NoError(t, err)
	price, err := r.stripe.Prices.New(&stripe.PriceParams{
		Product:    stripe.String(p.ID),
		Currency:   stripe.String("eur"),
		UnitAmount: stripe.Int64(1400),
	})
	require.NoError(t, err)
	r.link(p.ID)
	require.NoError(t, r.stores.Links().Put(t.Context(), "default", gone.ID, "cup"))
	_, err = r.stores.Observed().Update(t.Context(), "default", "cup", func(o *catalogv1.Observed) error {
		o.StripeId, o.Product, o.ProductSeen = gone.ID, &catalogv1.Product{Id: gone.ID, Name: "Cup", Active: new(true)},
			1
		return nil
	})
	require.NoError(t, err)
	require.NoError(t, r.admin.DeleteProduct(t.Context(), gone.ID, true))
	r.pull(time.Hour)
	r.scan("links")
	require.Equal(t, "Mug", r.observed().GetProduct().GetName())
	require.Len(t, r.observed().GetPrices(), 1)
	require.Equal(t, price.ID, r.observed().GetPrices()[0].GetStripeId())
	require.True(t, r.unknown(p.ID))
	cup, _, err := r.stores.Observed().Get(t.Context(), "default", "cup")
	require.NoError(t, err)
	require.Nil(t, cup.GetProduct())
	require.True(t, cup.GetDeleted())
}
