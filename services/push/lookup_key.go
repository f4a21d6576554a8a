package push

import (
	"context"
	"fmt"

	"github.com/driftless-sync/driftless/services/internal/stripeapi"
	"github.com/driftless-sync/driftless/services/push/internal/plan"
)

// resolveKeyOwner reads which price has the key that a call was refused for. It takes a key of another product in the
// catalog, because the catalog decides there. Any other key stays, and the refusal is returned. It returns no refusal
// if the key may be taken, or is free.
func (p *pusher) resolveKeyOwner(ctx context.Context, req plan.Request,
	f *plan.Failed,
) (refused *refusedError, err error) {
	key := f.LookupKey()
	holder, err := p.stripe.PriceWithLookupKey(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("product %s: find the owner of lookup key %s: %w", req.Change.GetProductId(), key,
			stripeapi.Classify(err))
	}
	if holder == nil && req.Keys.MayBeFree(key) {
		// In a transaction that moves keys among products, the owner has just given it away.
		return nil, nil
	}
	who := "another price"
	if holder != nil {
		who = fmt.Sprintf("price %s of product %s", holder.StripeID, holder.ProductID)
	}
	ours, err := p.inCatalog(ctx, holder)
	if err != nil {
		return nil, err
	}
	if ours || req.Adopted || p.takeLookupKeys {
		req.Keys.Take(key, who)
		return nil, nil
	}
	req.Keys.LeaveWithOwner(key)
	return p.refusedCall(req.Change, f, fmt.Sprintf("prices[%q].lookup_key", f.PriceID), fmt.Sprintf(
		"price %s has no lookup key: in Stripe, %s belongs to %s, which is not in this catalog. Give the price another lookup_key, "+
			"remove the key from the other price, or set take_lookup_keys: true to take it", f.PriceID, key, who)), nil
}

// inCatalog reports whether a price in Stripe has Driftless's mark and belongs to a product that this catalog has or
// had.
func (p *pusher) inCatalog(ctx context.Context, holder *stripeapi.ListedPrice) (bool, error) {
	if holder == nil || holder.Price.GetId() == "" {
		return false, nil
	}
	product, err := p.stores.Links().Product(ctx, p.account, holder.ProductID)
	if err != nil {
		return false, err
	}
	if product == "" {
		product = holder.ProductID
	}
	desired, err := p.stores.Desired().Latest(ctx, p.account, product)
	return desired != nil, err
}
