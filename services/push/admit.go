package push

import (
	"context"
	"fmt"
	"time"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/push/internal/plan"
)

// createRetryDelay is how long a product that may not be created waits for its next retry, unless a command comes
// first.
const createRetryDelay = time.Hour

// creationHeldError means that a plan is not made while creations are on hold. None of its calls was made.
type creationHeldError struct{ why string }

func (e *creationHeldError) Error() string { return e.why }

// admit is the gate that every plan passes before the guard judges it. It returns a creationHeldError or a refusedError
// for the first finding that stops the plan.
func (p *pusher) admit(ctx context.Context, d plan.Decision) error {
	for _, found := range d.Findings {
		if err := p.settle(ctx, d.Plan, found); err != nil {
			return err
		}
	}
	return nil
}

// settle decides about a finding. It reads the record that decides if the plan alone does not.
func (p *pusher) settle(ctx context.Context, pl *plan.Plan, found plan.Finding) error {
	product := pl.Change.GetProductId()
	switch found.Rule {
	case plan.LinkedElsewhere:
		return p.refuseLinked(ctx, pl.Change)
	default:
		return &creationHeldError{fmt.Sprintf("product %s: %s", product, found.Why)}
	}
}

// refuseLinked refuses a product if Stripe's product with its id is linked to another product of the catalog.
func (p *pusher) refuseLinked(ctx context.Context, change *catalogv1.ProductChange) error {
	product := change.GetProductId()
	linked, err := p.stores.Links().Product(ctx, p.account, product)
	if err != nil || linked == "" || linked == product {
		return err
	}
	return &refusedError{p.deadLetter(change, topology.ReasonLinked, fmt.Sprintf("Stripe's product %s is linked to "+
		"product %s of the catalog: give the catalog's product with this id another id", product, linked))}
}

// park schedules a retry for a product that may not be created, and acknowledges its message. A command may come first.
func (p *pusher) park(ctx context.Context, req plan.Request, held *creationHeldError) mesh.Verdict {
	retry := &meshv1.Retry{
		Account: p.account, ProductId: req.Change.GetProductId(), Version: req.Change.GetVersion(),
		Lane: string(topology.Bulk), Error: held.Error(), Look: req.Reread,
		Overwrite: req.Exceptions.Overwrite, Leave: req.Exceptions.Leave,
	}
	if err := p.mesh.RetryLater(ctx, topology.Push, retry, createRetryDelay); err != nil {
		return mesh.RetryIn(createRetryDelay, err)
	}
	return mesh.Ack()
}

// publishCreateHold records for operators whether creation is on hold.
func (p *pusher) publishCreateHold(ctx context.Context) error {
	why := ""
	if p.planner.HoldCreations {
		why = plan.WhyCreationsOnHold
		p.logger.WarnContext(ctx, "creation of products and prices is on hold", "account", p.account, "why", why)
	}
	return p.stores.CreationsHeld(p.account).PutString(ctx, why)
}
