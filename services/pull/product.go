package pull

import (
	"context"
	"errors"
	"fmt"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// errLinking: the Stripe product is about to stand for a product of the catalog; push is at it.
var errLinking = errors.New("the product is being adopted")

// errShadowed: the Stripe product has the id of a product of the catalog that stands for another one.
var errShadowed = errors.New("the catalog's product of this id stands for another product in Stripe")

// known is what is known of one of Stripe's products: the one place where pull goes from Stripe's ids to the catalog's.
type known struct {
	*puller
	// stripeID of the product, and its id in the catalog: the same if the product stands for none of another id.
	stripeID, product string
}

func (p *puller) known(stripeID string) known { return known{p, stripeID, p.links.Product(stripeID)} }

// is says whether what is known under the product's id is of this product of Stripe's, or why it is not.
func (k known) is(o *catalogv1.Observed) error {
	switch {
	case catalog.StripeID(o) == k.stripeID:
		return nil
	case k.product == k.stripeID:
		return fmt.Errorf("product %s: %w: %s", k.stripeID, errShadowed, o.GetStripeId())
	default:
		return fmt.Errorf("product %s of the catalog, %s: %w", k.product, k.stripeID, errLinking)
	}
}

func (k known) get(ctx context.Context) (*catalogv1.Observed, uint64, error) {
	return k.mesh.Observed().Get(ctx, k.account, k.product)
}

// update is ObservedStore.Update of the product. It returns errLinking for a product that is being adopted, and
// errShadowed if what is known under its id is of another.
func (k known) update(ctx context.Context, change func(*catalogv1.Observed) error) error {
	o, err := k.mesh.Observed().Update(ctx, k.account, k.product, k.checked(change))
	return k.stored(ctx, o, err)
}

// updateAt is ObservedStore.UpdateAt of the product, with the errors of update.
func (k known) updateAt(ctx context.Context, revision uint64, change func(*catalogv1.Observed) error) error {
	o, err := k.mesh.Observed().UpdateAt(ctx, k.account, k.product, revision, k.checked(change))
	return k.stored(ctx, o, err)
}

func (k known) checked(change func(*catalogv1.Observed) error) func(*catalogv1.Observed) error {
	return func(o *catalogv1.Observed) error {
		if err := k.is(o); err != nil {
			return err
		}
		return change(o)
	}
}

// stored makes sure that nothing is left under the id of a product that has been adopted since its links were looked
// up: push forgets what is known under Stripe's id after it has stored the link.
func (k known) stored(ctx context.Context, o *catalogv1.Observed, err error) error {
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
