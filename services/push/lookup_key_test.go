package push_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v76"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/push"
)

// foreignPrice creates a price of a product outside the catalog, with a lookup key.
func (r *rig) foreignPrice(key string) *stripe.Price {
	r.t.Helper()
	p, err := r.stripe.Prices.New(&stripe.PriceParams{
		Currency: stripe.String("eur"), UnitAmount: stripe.Int64(777), LookupKey: stripe.String(key),
		ProductData: &stripe.PriceProductDataParams{Name: stripe.String("Somebody else's")},
	})
	require.NoError(r.t, err)
	return p
}

func (r *rig) keyOf(stripeID string) string {
	r.t.Helper()
	p, err := r.stripe.Prices.Get(stripeID, nil)
	require.NoError(r.t, err)
	return p.LookupKey
}

// steps returns the calls in the latest outcome of a product.
func (r *rig) steps(product string) string {
	r.t.Helper()
	stream, err := r.mesh.JetStream().Stream(r.t.Context(), topology.StreamSync)
	require.NoError(r.t, err)
	subject := topology.SyncSubject("default", meshv1.OutcomeKind_OUTCOME_KIND_APPLIED, product)
	msg, err := stream.GetLastMsgForSubject(r.t.Context(), subject)
	if err == jetstream.ErrMsgNotFound { //nolint:errorlint // as it is
		return ""
	}
	require.NoError(r.t, err)
	out := &meshv1.Outcome{}
	require.NoError(r.t, proto.Unmarshal(msg.Data, out))
	var words []string
	for _, s := range out.GetSteps() {
		words = append(words, s.GetStep())
	}
	return strings.Join(words, "; ")
}

func TestPush_LeavesTheLookupKeyOfAForeignPrice(t *testing.T) {
	for name, p := range map[string]*catalogv1.Product{
		"of a price that is made by itself":        pack("Mugs", "500"),
		"of a price that is made with its product": mug("Mug", "500"),
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			other := r.foreignPrice("mug-one")
			r.push()
			r.want(p, 1)
			message, field := r.dead("mug", 1)
			require.Equal(t, `prices["mug-one"].lookup_key`, field)
			require.Contains(t, message, "mug-one belongs to price "+other.ID+" of product "+other.Product.ID)
			require.Contains(t, message, "everything else of the product was applied")
			require.Equal(t, "mug-one", r.keyOf(other.ID))
			amounts, _ := r.onSale()
			require.Equal(t, map[string]int64{"": 500}, amounts, "the price is sold all the same")

			// Once the key is free, the price gets it.
			_, err := r.stripe.Prices.Update(other.ID, &stripe.PriceParams{LookupKey: stripe.String("its-own")})
			require.NoError(t, err)
			r.commandSync("mug")
			r.applied("mug", 1)
			amounts, byDefault := r.onSale()
			require.Equal(t, map[string]int64{"mug-one": 500}, amounts)
			require.Equal(t, "mug-one", byDefault)
		})
	}
}

func TestPush_TakesALookupKeyIfConfiguredAndReportsItsOwner(t *testing.T) {
	r := newRig(t)
	other := r.foreignPrice("mug-one")
	cfg := r.config(key)
	cfg.TakeLookupKeys = true
	r.run(func(ctx context.Context) error { return push.Run(ctx, cfg) })
	r.want(mug("Mug", "500"), 1)
	r.applied("mug", 1)
	require.Empty(t, r.keyOf(other.ID))
	require.Nil(t, r.letter("mug"))
	require.Eventually(t, func() bool {
		return strings.Contains(r.steps("mug"),
			"taking lookup key mug-one from price "+other.ID+" of product "+other.Product.ID)
	}, patience, 10*time.Millisecond)
}

// TestPush_MovesALookupKeyWithinTheCatalog: the catalog may move a price to another product, or its key to another
// price.
func TestPush_MovesALookupKeyWithinTheCatalog(t *testing.T) {
	r := newRig(t)
	r.push()
	of := func(product string, keys map[string]string) *catalogv1.Product {
		p := &catalogv1.Product{Id: product, Name: product}
		for id, key := range keys {
			p.Prices = append(p.Prices, &catalogv1.Price{Id: id, Currency: "eur", UnitAmount: "500", LookupKey: key})
		}
		return p
	}
	r.want(of("mug", map[string]string{"a": "gold", "b": "silver"}), 1)
	r.applied("mug", 1)
	calls := r.calls()
	r.want(of("mug", map[string]string{"a": "silver", "b": "gold"}), 2)
	r.applied("mug", 2)
	require.Equal(t, calls["POST /v1/prices/{price}"]+2, r.calls()["POST /v1/prices/{price}"],
		"a swap within a product is refused nothing")
	// The price moves before push knows that its old product lost it.
	r.want(of("cup", map[string]string{"a": "silver"}), 3)
	r.applied("cup", 3)
	require.Eventually(t, func() bool {
		return strings.Contains(r.steps("cup"), "taking lookup key silver from price")
	}, patience, 10*time.Millisecond)
	r.want(of("mug", map[string]string{"b": "gold"}), 4)
	r.applied("mug", 4)
	require.Nil(t, r.letter("mug"))
	require.Nil(t, r.letter("cup"))
}
