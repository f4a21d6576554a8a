package pull

import (
	"context"
	"errors"
	"fmt"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// errLinking means that push is linking the Stripe product to a product of the catalog.
var errLinking = errors.New("the product is being adopted")

// errShadowed means that the Stripe product has the id of a catalog product that is linked to another Stripe product.
var errShadowed = errors.New("the catalog's product with this id is linked to another product in Stripe")

// productRef pairs a Stripe product id with its catalog id, and reads and writes the product's observed state. It is
// the only place where pull maps one id to the other.
type productRef struct {
	*puller
	stripeID string
	// product is the catalog's id. It equals stripeID unless the product was adopted under another id.
	product string
}

func (p *puller) ref(stripeID string) productRef {
	return productRef{puller: p, stripeID: stripeID, product: p.links.Product(stripeID)}
}

// verify returns nil if the observed state is of this Stripe product, else the reason why not.
func (r productRef) verify(o *catalogv1.Observed) error {
	switch {
	case catalog.StripeID(o) == r.stripeID:
		return nil
	case r.product == r.stripeID:
		return fmt.Errorf("product %s: %w: %s", r.stripeID, errShadowed, o.GetStripeId())
	default:
		return r.linkingTo(r.product)
	}
}

// linkingTo returns errLinking for the catalog's product that the Stripe product is being linked to.
func (r productRef) linkingTo(product string) error {
	return fmt.Errorf("product %s (%s in Stripe): %w", product, r.stripeID, errLinking)
}

func (r productRef) get(ctx context.Context) (*catalogv1.Observed, uint64, error) {
	return r.stores.Observed().Get(ctx, r.account, r.product)
}

// update is ObservedStore.Update for the product. It returns errLinking for a product that is being adopted, and
// errShadowed if the observed state is of another Stripe product.
func (r productRef) update(ctx context.Context, change func(*catalogv1.Observed) error) error {
	o, err := r.stores.Observed().Update(ctx, r.account, r.product, r.checked(change))
	return r.forgetIfAdopted(ctx, o, err)
}

// updateAt is ObservedStore.UpdateAt for the product, with the errors of update.
func (r productRef) updateAt(ctx context.Context, revision uint64, change func(*catalogv1.Observed) error) error {
	o, err := r.stores.Observed().UpdateAt(ctx, r.account, r.product, revision, r.checked(change))
	return r.forgetIfAdopted(ctx, o, err)
}

// checked returns the change with verify before it, so that a link that is stored meanwhile fails the write.
func (r productRef) checked(change func(*catalogv1.Observed) error) func(*catalogv1.Observed) error {
	return func(o *catalogv1.Observed) error {
		if err := r.verify(o); err != nil {
			return err
		}
		return change(o)
	}
}

// forgetIfAdopted deletes the state that a write has just stored under Stripe's id, if the product was adopted under
// another id meanwhile. Push deletes that state after it has stored the link, so a later write must delete it again. It
// returns err if the write failed, and errLinking if it deleted the state.
func (r productRef) forgetIfAdopted(ctx context.Context, o *catalogv1.Observed, err error) error {
	if err != nil || r.product != r.stripeID || catalog.IsManaged(o) {
		return err
	}
	linked, err := r.stores.Links().Product(ctx, r.account, r.stripeID)
	if err != nil || linked == "" || linked == r.product {
		return err
	}
	if err := r.stores.Observed().Forget(ctx, r.account, r.stripeID); err != nil {
		return err
	}
	return r.linkingTo(linked)
}
