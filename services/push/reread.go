package push

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/metrics"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
)

// reread reads the product from Stripe and returns the observed state with the answer applied. It marks calls of
// unknown outcome as settled once they can no longer take effect.
func (p *pusher) reread(ctx context.Context, observed *catalogv1.Observed) (*catalogv1.Observed, error) {
	metrics.PushRereads.Add(ctx, 1)
	seen, prices, all, err := p.stripe.GetProductWithSomePrices(ctx, catalog.StripeID(observed),
		catalog.OwnedIDs(observed))
	if err == nil && !all && observed.GetProductSeen() == 0 {
		// Its archived prices have never been read.
		seen, prices, err = p.stripe.GetProductWithPrices(ctx, catalog.StripeID(observed))
		all = true
	}
	if err != nil {
		return nil, fmt.Errorf("reread product %s: %w", observed.GetProductId(), stripeapi.Classify(err))
	}
	now, err := p.mesh.Clock().Now(ctx)
	if err != nil {
		return nil, err
	}
	o := proto.CloneOf(observed)
	if all {
		catalog.ObserveAll(o, seen, prices)
	} else {
		catalog.ObserveActive(o, seen, prices)
	}
	o.Stale, o.Claim = false, nil
	o.Generation++
	for _, intent := range o.GetIntents() {
		// A later call may still be running in Stripe. A repetition must have the same key.
		if now.Sub(intent.GetAt().AsTime()) > maxCallAge {
			intent.Settled = true
		}
	}
	return o, nil
}
