package push

import (
	"context"
	"fmt"
	"slices"
	"strings"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// A lookup key belongs to one price of the account. With transfer_lookup_key Stripe moves it from any price that has
// it. A checkout that finds its price by the key then sells something else. So push takes a key unasked only from a
// price that the product is known to have. Otherwise it makes the call without transfer_lookup_key first. If Stripe
// refuses that, the key's owner decides.
const (
	lookupKey         = "lookup_key"
	transferLookupKey = "transfer_lookup_key"
)

// lookupKeys is what a pass knows about lookup keys that other prices have.
type lookupKeys struct {
	// transferable are the keys that may be taken, each with a description of its owner. left are the keys that stay
	// with their owner.
	transferable map[string]string
	foreign      map[string]bool
}

func newLookupKeys() *lookupKeys {
	return &lookupKeys{transferable: map[string]string{}, foreign: map[string]bool{}}
}

// filter removes transfer_lookup_key from calls whose key may belong to another product, and the key itself if it stays
// with its owner.
func (k *lookupKeys) filter(steps []catalog.Step, observed *catalogv1.Observed) []catalog.Step {
	if k == nil {
		return steps
	}
	out := make([]catalog.Step, 0, len(steps))
	for _, step := range steps {
		key, ok := step.Param(lookupKey)
		_, taken := k.transferable[key]
		if ok && key != "" && !taken && (k.foreign[key] || !ownsKey(observed, key)) {
			step.Params = slices.DeleteFunc(slices.Clone(step.Params), func(p catalog.Param) bool {
				return p.Name == transferLookupKey || p.Name == lookupKey && k.foreign[key]
			})
		}
		if len(step.Params) > 0 {
			out = append(out, step)
		}
	}
	return out
}

// ownsKey reports whether a price of the product with Driftless's mark is known to have the key.
func ownsKey(observed *catalogv1.Observed, key string) bool {
	return slices.ContainsFunc(observed.GetPrices(), func(p *catalogv1.ObservedPrice) bool {
		return p.GetPrice().GetId() != "" && p.GetPrice().GetLookupKey() == key
	})
}

// isKeyConflict reports whether Stripe refused a call because another price has the key.
func isKeyConflict(f *failedStep) bool {
	if f.Failure == nil || f.Action != stripeapi.Refuse {
		return false
	}
	key, gives := f.Step.Param(lookupKey)
	_, transfers := f.Step.Param(transferLookupKey)
	says := f.Failure.Param == lookupKey || strings.Contains(strings.ToLower(f.Message), "lookup key")
	return says && gives && key != "" && !transfers
}

// needsOwner reports whether a call was refused for a key whose owner the pass has not read yet.
func (k *lookupKeys) needsOwner(f *failedStep) bool {
	if k == nil || !isKeyConflict(f) {
		return false
	}
	key, _ := f.Step.Param(lookupKey)
	_, taken := k.transferable[key]
	return !taken && !k.foreign[key]
}

// resolveKeyOwner reads which price has the key that a call was refused for. It takes a key of another product in the
// catalog, because the catalog decides there. Any other key stays, and the refusal is returned. It returns no refusal
// if the key may be taken.
func (p *pusher) resolveKeyOwner(ctx context.Context, req passRequest,
	f *failedStep,
) (refused *refusedError, err error) {
	key, _ := f.Step.Param(lookupKey)
	holder, err := p.stripe.PriceWithLookupKey(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("product %s: find the owner of lookup key %s: %w", req.change.GetProductId(), key,
			stripeapi.Classify(err))
	}
	who := "another price"
	if holder != nil {
		who = fmt.Sprintf("price %s of product %s", holder.StripeID, holder.ProductID)
	}
	ours, err := p.inCatalog(ctx, holder)
	if err != nil {
		return nil, err
	}
	if ours || req.adopted || p.takeLookupKeys {
		req.keys.transferable[key] = who
		return nil, nil
	}
	req.keys.foreign[key] = true
	letter := p.deadLetter(req.change, topology.ReasonRefused, fmt.Sprintf(
		"price %s has no lookup key: in Stripe, %s belongs to %s, which is not in this catalog. Give the price another lookup_key, "+
			"remove the key from the other price, or set take_lookup_keys: true to take it", f.PriceID, key, who))
	letter.Field, letter.Step = fmt.Sprintf("prices[%q].lookup_key", f.PriceID), f.Step.String()
	letter.StripeCode, letter.StripeRequestId = f.Code, f.RequestID
	return &refusedError{letter: letter}, nil
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

// describePrices describes a call, with the lookup key that it took from another price, for the product's history.
func (k *lookupKeys) describe(step catalog.Step) string {
	words := step.String()
	if k == nil {
		return words
	}
	key, _ := step.Param(lookupKey)
	if who, taken := k.transferable[key]; taken {
		words += fmt.Sprintf(", taking lookup key %s from %s", key, who)
	}
	return words
}
