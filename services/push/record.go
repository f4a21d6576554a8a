package push

import (
	"context"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
)

// recordResult stores the results of a pass's calls and releases the claim.
func (p *pusher) recordResult(ctx context.Context, req passRequest, pl *plan, applied []appliedStep,
	failure *failedStep,
) (*catalogv1.Observed, error) {
	// The calls were made, so their results are recorded even while the service stops.
	ctx = context.WithoutCancel(ctx)
	lost := false
	stored, err := p.stores.Observed().UpdateFrom(ctx, pl.claimed, pl.revision, func(o *catalogv1.Observed) error {
		if lost = o.GetClaim().GetHolder() != p.holder; lost {
			if len(applied) == 0 && (failure == nil || failure.notSent) {
				return state.ErrNoChange
			}
			// The process that took over has not seen these calls.
			o.Stale = true
			return nil
		}
		o.Claim = nil
		if !sameSightings(o, pl.base) {
			// Another party changed the product in Stripe meanwhile. The order of the two changes is unknown.
			o.Stale = true
		}
		for _, a := range applied {
			o.Generation++
			// A replayed answer has the past state, not the current one. An answer without the price that was created
			// with the product is incomplete.
			o.Stale = o.GetStale() || a.Replayed || a.PriceID != "" && a.Price == nil
			markSettled(o, a.key, !o.GetStale())
			if !o.GetStale() {
				observeAnswer(o, a)
			}
			markManaged(o, a)
		}
		if !req.laterRound && !o.GetStale() && len(repeatedSteps(p.steps(req, o), applied)) > 0 {
			// Stripe ignored an accepted value, or another party changed it. The next round rereads the product.
			o.Stale = true
		}
		switch {
		case failure != nil:
			p.recordFailure(o, pl, failure)
		case !o.GetStale():
			p.recordVersion(req, o)
		}
		return nil
	})
	if err == nil && lost {
		return nil, fmt.Errorf("product %s: %w", pl.change.GetProductId(), errLostClaim)
	}
	return stored, err
}

func (p *pusher) recordFailure(o *catalogv1.Observed, pl *plan, f *failedStep) {
	for i, s := range pl.steps[f.index:] {
		// A call that was not sent needs no intent. A call that may have been executed keeps its intent, also if an
		// earlier attempt with the same key made it.
		if (i > 0 || f.notSent || f.NotExecuted) && unsettledIntent(pl.base, s.key) == nil {
			dropIntent(o, s.key)
		}
	}
	if f.OutcomeKnown {
		o.Generation++
		markSettled(o, pl.steps[f.index].key, false)
	}
	o.Stale = o.GetStale() || f.Action == stripeapi.RereadFirst
}

func observeAnswer(o *catalogv1.Observed, a appliedStep) {
	if a.Product != nil {
		s := *a.Product
		s.Fetched = true
		catalog.ObserveProduct(o, s)
	}
	if a.Price != nil {
		s := *a.Price
		s.Fetched = true
		catalog.ObservePrice(o, s)
		if a.Step.Kind == catalog.UpdatePrice || a.Step.Kind == catalog.CreatePrice {
			clearMovedKey(o, a)
		}
	}
}

// clearMovedKey clears a lookup key that moved to the step's price from the product's other prices.
func clearMovedKey(o *catalogv1.Observed, a appliedStep) {
	key, ok := a.Step.Param("lookup_key")
	if !ok || key == "" {
		return
	}
	for _, other := range o.GetPrices() {
		if other.GetStripeId() != a.ObjectID && other.GetPrice().GetLookupKey() == key {
			other.Price.LookupKey = ""
		}
	}
}

// markManaged records the metadata keys that Driftless now manages on the step's object.
func markManaged(o *catalogv1.Observed, a appliedStep) {
	switch a.Step.Kind {
	case catalog.CreateProduct, catalog.UpdateProduct:
		o.ManagedMetadata = a.ManagedMetadata
		if a.Price != nil {
			markPriceManaged(o, a.Price.StripeID, a.PriceMetadata)
		}
	case catalog.CreatePrice, catalog.UpdatePrice:
		markPriceManaged(o, a.ObjectID, a.ManagedMetadata)
	}
}

func markPriceManaged(o *catalogv1.Observed, stripeID string, keys []string) {
	for _, price := range o.GetPrices() {
		if price.GetStripeId() == stripeID {
			price.ManagedMetadata = keys
		}
	}
}

// sameSightings reports whether both states have the same product and prices. It leaves out prices of others because no
// step depends on them. A shop that makes a price for each sale would be reread again and again.
func sameSightings(a, b *catalogv1.Observed) bool {
	owned := func(o *catalogv1.Observed) []*catalogv1.ObservedPrice {
		return slices.DeleteFunc(slices.Clone(o.GetPrices()), func(p *catalogv1.ObservedPrice) bool {
			return !catalog.Owned(p)
		})
	}
	return proto.Equal(a.GetProduct(), b.GetProduct()) && a.GetDeleted() == b.GetDeleted() &&
		slices.EqualFunc(owned(a), owned(b), func(x, y *catalogv1.ObservedPrice) bool {
			return x.GetStripeId() == y.GetStripeId() && proto.Equal(x.GetPrice(), y.GetPrice())
		})
}

func markSettled(o *catalogv1.Observed, key string, answered bool) {
	if intent := catalog.FindIntent(o, key); intent != nil {
		intent.Settled, intent.Answered = true, answered
	}
}

func dropIntent(o *catalogv1.Observed, key string) {
	o.Intents = slices.DeleteFunc(o.Intents, func(i *catalogv1.Intent) bool { return i.GetIdempotencyKey() == key })
}
