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

// productRef pairs a Stripe product id with its catalog id. It is the only place where pull maps one to the other.
type productRef struct {
	*puller
	// stripeID is Stripe's id, and product the catalog's. They are equal for a product that is not linked under another
	// id.
	stripeID, product string
}

func (p *puller) ref(stripeID string) productRef {
	return productRef{p, stripeID, p.links.Product(stripeID)}
}

// verify returns nil if the observed state is of this Stripe product, else the reason why not.
func (r productRef) verify(o *catalogv1.Observed) error {
	switch {
	case catalog.StripeID(o) == r.stripeID:
		return nil
	case r.product == r.stripeID:
		return fmt.Errorf("product %s: %w: %s", r.stripeID, errShadowed, o.GetStripeId())
	default:
		return fmt.Errorf("product %s of the catalog, %s: %w", r.product, r.stripeID, errLinking)
	}
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

func (r productRef) checked(change func(*catalogv1.Observed) error) func(*catalogv1.Observed) error {
	return func(o *catalogv1.Observed) error {
		if err := r.verify(o); err != nil {
			return err
		}
		return change(o)
	}
}

// forgetIfAdopted makes sure that no observed state is left under the id of a product that was adopted since its link
// was read. Push deletes that state after it has stored the link, so a later write must delete it again.
func (r productRef) forgetIfAdopted(ctx context.Context, o *catalogv1.Observed, err error) error {
	if err != nil || r.product != r.stripeID || catalog.Managed(o) {
		return err
	}
	linked, err := r.stores.Links().Product(ctx, r.account, r.stripeID)
	if err != nil || linked == "" || linked == r.product {
		return err
	}
	if err := r.stores.Observed().Forget(ctx, r.account, r.stripeID); err != nil {
		return err
	}
	return fmt.Errorf("product %s of the catalog, %s: %w", linked, r.stripeID, errLinking)
}
