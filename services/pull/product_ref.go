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
func (k productRef) verify(o *catalogv1.Observed) error {
	switch {
	case catalog.StripeID(o) == k.stripeID:
		return nil
	case k.product == k.stripeID:
		return fmt.Errorf("product %s: %w: %s", k.stripeID, errShadowed, o.GetStripeId())
	default:
		return fmt.Errorf("product %s of the catalog, %s: %w", k.product, k.stripeID, errLinking)
	}
}

func (k productRef) get(ctx context.Context) (*catalogv1.Observed, uint64, error) {
	return k.mesh.Observed().Get(ctx, k.account, k.product)
}

// update is ObservedStore.Update for the product. It returns errLinking for a product that is being adopted, and
// errShadowed if the observed state is of another Stripe product.
func (k productRef) update(ctx context.Context, change func(*catalogv1.Observed) error) error {
	o, err := k.mesh.Observed().Update(ctx, k.account, k.product, k.checked(change))
	return k.forgetIfAdopted(ctx, o, err)
}

// updateAt is ObservedStore.UpdateAt for the product, with the errors of update.
func (k productRef) updateAt(ctx context.Context, revision uint64, change func(*catalogv1.Observed) error) error {
	o, err := k.mesh.Observed().UpdateAt(ctx, k.account, k.product, revision, k.checked(change))
	return k.forgetIfAdopted(ctx, o, err)
}

func (k productRef) checked(change func(*catalogv1.Observed) error) func(*catalogv1.Observed) error {
	return func(o *catalogv1.Observed) error {
		if err := k.verify(o); err != nil {
			return err
		}
		return change(o)
	}
}

// forgetIfAdopted makes sure that no observed state is left under the id of a product that was adopted since its link
// was read. Push deletes that state after it has stored the link, so a later write must delete it again.
func (k productRef) forgetIfAdopted(ctx context.Context, o *catalogv1.Observed, err error) error {
	if err != nil || k.product != k.stripeID || catalog.Managed(o) {
		return err
	}
	linked, err := k.mesh.Links().Product(ctx, k.account, k.stripeID)
	if err != nil || linked == "" || linked == k.product {
		return err
	}
	if err := k.mesh.Observed().Forget(ctx, k.account, k.stripeID); err != nil {
		return err
	}
	return fmt.Errorf("product %s of the catalog, %s: %w", linked, k.stripeID, errLinking)
}
