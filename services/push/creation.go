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

// errCreationHeld is what is not created while the account is being adopted.
var errCreationHeld = errors.New(
	"not created while push_create is off: adopt what Stripe holds already, then switch it on")

// creationDelay is how long a product that is not to be created waits to be tried again, unless an order comes first.
const creationDelay = time.Hour

// unhindered says why a product that Driftless has not written yet must not be written: Stripe's product of this id
// stands for another of the catalog's, or what would be created may be there under another id while the account is
// being adopted.
func (p *pusher) unhindered(ctx context.Context, o order, steps []plannedStep, observed *catalogv1.Observed) error {
	if o.adopted || catalog.Managed(observed) || len(steps) == 0 {
		return nil
	}
	product := o.change.GetProductId()
	linked, err := p.mesh.Links().Product(ctx, p.account, product)
	creates := slices.ContainsFunc(steps,
		func(s plannedStep) bool { return s.Kind == catalog.CreateProduct || s.Kind == catalog.CreatePrice })
	switch {
	case err != nil:
		return err
	case linked != "" && linked != product:
		return &refusedError{letter: p.letter(o.change, topology.ReasonLinked,
			fmt.Sprintf("Stripe's product %s stands for product %s of the catalog: give the one of this id another",
				product, linked))}
	case creates && p.holdCreations:
		return fmt.Errorf("product %s: %w", product, errCreationHeld)
	default:
		return nil
	}
}

// tellCreations says whether creations are held, for operators.
func (p *pusher) tellCreations(ctx context.Context) error {
	why := ""
	if p.holdCreations {
		why = errCreationHeld.Error()
		p.logger.WarnContext(ctx, "what Stripe does not hold is not created", "account", p.account, "why", why)
	}
	return p.mesh.CreationsHeld(p.account).PutString(ctx, why)
}
