package push_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v76"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/push"
	"github.com/driftless-sync/driftless/services/stripesim"
)

// existing creates a product with a price in Stripe, as an account has it before Driftless.
func (r *rig) existing(name string, amount int64) (product, price string) {
	r.t.Helper()
	p, err := r.stripe.Products.New(&stripe.ProductParams{Name: stripe.String(name)})
	require.NoError(r.t, err)
	pr, err := r.stripe.Prices.New(&stripe.PriceParams{
		Product:    stripe.String(p.ID),
		Currency:   stripe.String("eur"),
		UnitAmount: stripe.Int64(amount),
	})
	require.NoError(r.t, err)
	return p.ID, pr.ID
}

func (r *rig) adopt(id string, adopt *meshv1.Adopt) {
	r.t.Helper()
	require.NoError(r.t,
		r.mesh.Publish(r.t.Context(),
			topology.CommandSubject(topology.Push, "default", topology.VerbAdopt, adopt.GetProductId()),
			&meshv1.Command{
				Id: id, Account: "default", Issuer: "ann", Reason: "found in Stripe",
				Verb: &meshv1.Command_Adopt{Adopt: adopt},
			}))
}

// outcome waits for the outcome of a command to adopt.
func (r *rig) outcome(kind meshv1.OutcomeKind, product string) *meshv1.Outcome {
	r.t.Helper()
	stream, err := r.mesh.JetStream().Stream(r.t.Context(), topology.StreamSync)
	require.NoError(r.t, err)
	out := &meshv1.Outcome{}
	require.Eventually(r.t, func() bool {
		msg, err := stream.GetLastMsgForSubject(r.t.Context(), topology.SyncSubject("default", kind, product))
		return err == nil && proto.Unmarshal(msg.Data, out) == nil
	}, patience, 10*time.Millisecond)
	return out
}

func (r *rig) products() (n int) {
	r.t.Helper()
	for _, active := range []bool{true, false} {
		list := r.stripe.Products.List(&stripe.ProductListParams{Active: stripe.Bool(active)})
		for list.Next() {
			n++
		}
		require.NoError(r.t, list.Err())
	}
	return n
}

func (r *rig) pushHolding() (stop func()) {
	return r.run(func(ctx context.Context) error {
		cfg := r.config(key)
		cfg.HoldCreations = true
		return push.Run(ctx, cfg)
	})
}

// waitsFor waits until a retry of the product is scheduled and the queues are empty.
func (r *rig) waitsFor(product string) {
	r.t.Helper()
	require.Eventually(r.t, func() bool {
		retrying, err := r.mesh.Retrying(r.t.Context(), topology.Push, "default", product)
		return err == nil && retrying
	}, patience, 10*time.Millisecond)
}

func TestAdopt_LinksAnExistingProductInsteadOfCreatingOne(t *testing.T) {
	needsLeniency(t, "to clear default_price")
	t.Parallel()
	r := newRig(t)
	stripeID, price := r.existing("An old mug", 1400)
	r.pushHolding()
	r.want(mug("Mug", "1400"), 10)
	r.waitsFor("mug")
	require.Equal(t, 1, r.products(), "the product is held, not created twice")

	r.adopt("a", &meshv1.Adopt{ProductId: "mug", StripeId: stripeID, Prices: map[string]string{"mug-one": price}})
	o := r.applied("mug", 10)
	require.Equal(t, stripeID, o.GetStripeId())
	require.Equal(t, 1, r.products())
	held, err := r.stripe.Products.Get(stripeID, nil)
	require.NoError(t, err)
	require.Equal(t, "Mug", held.Name)
	require.Equal(t, map[string]string{catalog.ProductMarker: "mug"}, held.Metadata)
	require.Equal(t, price, held.DefaultPrice.ID)
	adopted, err := r.stripe.Prices.Get(price, nil)
	require.NoError(t, err)
	require.Equal(t, "mug-one", adopted.Metadata[catalog.PriceMarker])
	require.Equal(t, "mug-one", adopted.LookupKey)
	active, archived := r.prices(stripeID)
	require.Equal(t, 1, active)
	require.Zero(t, archived)
	out := r.outcome(meshv1.OutcomeKind_OUTCOME_KIND_ADOPTED, "mug")
	require.Equal(t, "adopted:a", out.GetId())
	require.Equal(t, []string{"ann", "found in Stripe"}, []string{out.GetActor(), out.GetReason()})
	require.Equal(t, stripeID, out.GetStripeId())
	require.Eventually(t, func() bool {
		_, revision, err := r.stores.Observed().Get(t.Context(), "default", stripeID)
		return err == nil && revision == 0
	}, patience, 10*time.Millisecond, "nothing is left under Stripe's id")

	// From now on it is synced like any other product, while creation is still on hold.
	r.want(mug("Mug XL", "1600"), 20)
	r.applied("mug", 20)
	held, err = r.stripe.Products.Get(stripeID, nil)
	require.NoError(t, err)
	require.Equal(t, "Mug XL", held.Name)
	active, archived = r.prices(stripeID)
	require.Equal(t, 1, active)
	require.Equal(t, 1, archived)
	require.Equal(t, 1, r.products())

	// It leaves the catalog, and keeps its mark.
	require.NoError(t,
		r.mesh.Publish(t.Context(), topology.CatalogSubject("default", topology.Live, "mug"), &catalogv1.ProductChange{
			Account: "default", ProductId: "mug", Version: 30, Operation: catalogv1.Operation_OPERATION_DELETE,
		}, mesh.WithVersion(30)))
	r.applied("mug", 30)
	held, err = r.stripe.Products.Get(stripeID, nil)
	require.NoError(t, err)
	require.False(t, held.Active)
	require.Equal(t, "mug", held.Metadata[catalog.ProductMarker])
}

func TestAdopt_KeepsThePricesOfAProductWithTheSameID(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	_, err := r.stripe.Products.New(&stripe.ProductParams{ID: stripe.String("mug"), Name: stripe.String("Mug")})
	require.NoError(t, err)
	price, err := r.stripe.Prices.New(&stripe.PriceParams{
		Product:    stripe.String("mug"),
		Currency:   stripe.String("eur"),
		UnitAmount: stripe.Int64(1400),
	})
	require.NoError(t, err)
	r.pushHolding()
	r.want(mug("Mug", "1400"), 10)
	r.waitsFor("mug")
	active, _ := r.prices("mug")
	require.Equal(t, 1, active, "no second price is created during the hold")
	r.adopt("a", &meshv1.Adopt{ProductId: "mug", StripeId: "mug", Prices: map[string]string{"mug-one": price.ID}})
	o := r.applied("mug", 10)
	require.Len(t, o.GetPrices(), 1)
	active, archived := r.prices("mug")
	require.Equal(t, 1, active)
	require.Zero(t, archived)
	held, err := r.stripe.Products.Get("mug", nil)
	require.NoError(t, err)
	require.Empty(t, held.Metadata, "a product of the catalog's own id needs no mark")
	require.Equal(t, price.ID, held.DefaultPrice.ID)
}

func TestAdopt_SurvivesLostAnswersAndHappensOnce(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]stripesim.Fault{
		"the read fails": {
			Kind:   stripesim.FaultUnavailable,
			Method: http.MethodGet,
			Path:   "/v1/products/{id}",
			Count:  2,
		},
		"the list fails": {Kind: stripesim.FaultReset, Method: http.MethodGet, Path: "/v1/prices", Count: 2},
		"the product's answer": {
			Kind:   stripesim.FaultResponseLost,
			Method: http.MethodPost,
			Path:   "/v1/products/{id}",
			Count:  1,
		},
		"the price's answer": {
			Kind:   stripesim.FaultResponseLost,
			Method: http.MethodPost,
			Path:   "/v1/prices/{price}",
			Count:  1,
		},
		"the price is not written": {
			Kind:   stripesim.FaultBadGateway,
			Method: http.MethodPost,
			Path:   "/v1/prices/{price}",
			Count:  2,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			stripeID, price := r.existing("An old mug", 1400)
			_, err := r.admin.AddFault(t.Context(), fault)
			require.NoError(t, err)
			r.push()
			r.adopt("early", &meshv1.Adopt{ProductId: "mug", StripeId: stripeID})
			require.Contains(t, r.outcome(meshv1.OutcomeKind_OUTCOME_KIND_ADOPTION_REFUSED, "mug").GetDetail(),
				"the catalog has no product mug")
			linked, err := r.stores.Links().Product(t.Context(), "default", stripeID)
			require.NoError(t, err)
			require.Empty(t, linked)

			// The state and the command are delivered twice. Both commands and the change find one product.
			require.NoError(t, r.mesh.Pause(t.Context(), time.Hour, topology.PushLive))
			r.want(mug("Mug", "1400"), 10)
			for _, id := range []string{"a", "b"} {
				r.adopt(id, &meshv1.Adopt{
					ProductId: "mug",
					StripeId:  stripeID,
					Prices:    map[string]string{"mug-one": price},
				})
			}
			r.applied("mug", 10)
			require.NoError(t, r.mesh.Resume(t.Context(), topology.PushLive))
			require.Eventually(t, func() bool {
				consumers, err := r.mesh.Consumers(t.Context())
				for _, c := range consumers {
					if (c.Consumer == topology.PushLive || c.Consumer == topology.PushCommand) &&
						c.Pending+c.InFlight > 0 {
						return false
					}
				}
				return err == nil
			}, patience, 10*time.Millisecond)
			r.applied("mug", 10)
			require.Equal(t, 1, r.products())
			active, archived := r.prices(stripeID)
			require.Equal(t, 1, active)
			require.Zero(t, archived)
		})
	}
}

func TestAdopt_RefusesWhatCannotBeAdopted(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	first, price := r.existing("An old mug", 1300)
	second, _ := r.existing("Another", 1)
	r.push()
	r.want(mug("Mug", "1400"), 10)
	r.applied("mug", 10)
	cup := mug("Cup", "900")
	cup.Id, cup.DefaultPrice, cup.Prices[0].Id = "cup", "", "cup-one"
	require.NoError(t, r.mesh.Pause(t.Context(), time.Hour, topology.PushLive))
	r.want(cup, 11)
	refused := func(want string, adopt *meshv1.Adopt) {
		t.Helper()
		r.adopt(want, adopt)
		require.Eventually(t, func() bool {
			out := r.outcome(meshv1.OutcomeKind_OUTCOME_KIND_ADOPTION_REFUSED, adopt.GetProductId())
			return out.GetId() == mesh.AdoptionID(out.GetKind(), want)
		}, patience, 10*time.Millisecond, want)
		require.Contains(t,
			r.outcome(meshv1.OutcomeKind_OUTCOME_KIND_ADOPTION_REFUSED, adopt.GetProductId()).GetDetail(), want)
	}
	refused("Stripe already has a product with the catalog's id mug", &meshv1.Adopt{
		ProductId: "mug",
		StripeId:  first,
	})
	refused("Stripe has no product prod_nowhere", &meshv1.Adopt{ProductId: "cup", StripeId: "prod_nowhere"})
	refused("the catalog has, or had, a product with the id mug", &meshv1.Adopt{ProductId: "cup", StripeId: "mug"})
	refused("differs from cup-one in fields that Stripe never changes (unit_amount)", &meshv1.Adopt{
		ProductId: "cup",
		StripeId:  first,
		Prices:    map[string]string{"cup-one": price},
	})
	for _, id := range []string{first, "prod_nowhere", "mug"} {
		linked, err := r.stores.Links().Product(t.Context(), "default", id)
		require.NoError(t, err)
		require.Empty(t, linked, id)
	}
	r.adopt("ok", &meshv1.Adopt{
		ProductId: "cup",
		StripeId:  first,
		Prices:    map[string]string{"cup-one": price},
		Replace:   []string{"cup-one"},
	})
	r.applied("cup", 11)
	active, archived := r.prices(first)
	require.Equal(t, 1, active)
	require.Equal(t, 1, archived, "replaced, as was approved")
	refused("product cup is already linked to "+first+" in Stripe", &meshv1.Adopt{ProductId: "cup", StripeId: second})

	// The catalog gets a product with the id of a linked Stripe product. It must not be written.
	require.NoError(t, r.mesh.Resume(t.Context(), topology.PushLive))
	shadow := mug("Shadow", "1")
	shadow.Id, shadow.DefaultPrice, shadow.Prices = first, "", nil
	r.want(shadow, 12)
	stream, err := r.mesh.JetStream().Stream(t.Context(), topology.StreamDead)
	require.NoError(t, err)
	letter := &meshv1.DeadLetter{}
	require.Eventually(t, func() bool {
		msg, err := stream.GetLastMsgForSubject(t.Context(), topology.DeadSubject(topology.Push, "default", first))
		return err == nil && proto.Unmarshal(msg.Data, letter) == nil
	}, patience, 10*time.Millisecond)
	require.Equal(t, topology.ReasonLinked, letter.GetReason())
	// It must not be written after a reread either, which finds Stripe's product.
	require.NoError(t,
		r.mesh.Publish(t.Context(), topology.CommandSubject(topology.Push, "default", topology.VerbSync, first),
			&meshv1.Command{
				Id: "look", Account: "default",
				Verb: &meshv1.Command_Sync{Sync: &meshv1.SyncProduct{ProductId: first, Look: true}},
			}))
	before := letter.GetId()
	require.Eventually(t, func() bool {
		msg, err := stream.GetLastMsgForSubject(t.Context(), topology.DeadSubject(topology.Push, "default", first))
		return err == nil && proto.Unmarshal(msg.Data, letter) == nil && letter.GetId() != before
	}, patience, 10*time.Millisecond)
	require.Equal(t, topology.ReasonLinked, letter.GetReason())
	held, err := r.stripe.Products.Get(first, nil)
	require.NoError(t, err)
	require.Equal(t, "Cup", held.Name)
}
