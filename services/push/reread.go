package push

import (
	"context"
	"fmt"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/metrics"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
	"github.com/driftless-sync/driftless/services/push/internal/plan"
)

// reread reads the product from Stripe and returns the observed state with the answer applied.
func (p *pusher) reread(ctx context.Context, observed *catalogv1.Observed) (seen plan.Seen, err error) {
	metrics.PushRereads.Add(ctx, 1)
	var read plan.Read
	stripeID, known := catalog.StripeID(observed), catalog.MarkedIDs(observed)
	if observed.GetProductSeen() == 0 {
		// Its archived prices have never been read.
		read.Product, read.Prices, err = p.stripe.GetProductWithPrices(ctx, stripeID, known...)
		read.All = true
	} else {
		read.Product, read.Prices, read.All, err = p.stripe.GetProductWithSomePrices(ctx, stripeID, known)
	}
	if err != nil {
		return seen, fmt.Errorf("reread product %s: %w", observed.GetProductId(), stripeapi.Classify(err))
	}
	if seen.At, err = p.mesh.Clock().Now(ctx); err != nil {
		return seen, err
	}
	seen.Observed, seen.Reread = plan.RecordReread(observed, read, seen.At), true
	return seen, nil
}
