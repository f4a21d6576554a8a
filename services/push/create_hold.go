package push

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// errCreateOnHold means that the product is not created while the account is being adopted.
var errCreateOnHold = errors.New(
	"not created because push_create is off: adopt the products that Stripe already holds, then switch it on")

// createRetryDelay is how long a product that may not be created waits for its next retry, unless a command comes
// first.
const createRetryDelay = time.Hour

// checkCreateAllowed refuses writes to a product that Driftless has not written yet, in two cases. Stripe's product
// with this id is linked to another product of the catalog. Or a step creates something that may exist under another
// id, while the account is being adopted.
func (p *pusher) checkCreateAllowed(ctx context.Context, req passRequest, steps []plannedStep,
	observed *catalogv1.Observed,
) error {
	if req.adopted || catalog.Managed(observed) || len(steps) == 0 {
		return nil
	}
	product := req.change.GetProductId()
	linked, err := p.stores.Links().Product(ctx, p.account, product)
	creates := slices.ContainsFunc(steps,
		func(s plannedStep) bool { return s.Kind == catalog.CreateProduct || s.Kind == catalog.CreatePrice })
	switch {
	case err != nil:
		return err
	case linked != "" && linked != product:
		return &refusedError{letter: p.deadLetter(req.change, topology.ReasonLinked,
			fmt.Sprintf(
				"Stripe's product %s is linked to product %s of the catalog: give the catalog's product with this id another id",
				product, linked))}
	case creates && p.holdCreations:
		return fmt.Errorf("product %s: %w", product, errCreateOnHold)
	default:
		return nil
	}
}

// publishCreateHold records for operators whether creation is on hold.
func (p *pusher) publishCreateHold(ctx context.Context) error {
	why := ""
	if p.holdCreations {
		why = errCreateOnHold.Error()
		p.logger.WarnContext(ctx, "creation of products and prices is on hold", "account", p.account, "why", why)
	}
	return p.stores.CreationsHeld(p.account).PutString(ctx, why)
}
