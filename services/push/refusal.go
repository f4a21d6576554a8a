package push

import (
	"context"
	"errors"
	"fmt"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/push/internal/plan"
)

// refusedError means that a change can never be applied in full.
type refusedError struct{ letter *meshv1.DeadLetter }

func (e *refusedError) Error() string { return e.letter.GetMessage() }

// join appends the message of another refusal of the same product. The other fields stay those of the first. Each may
// be nil.
func (e *refusedError) join(other *refusedError) *refusedError {
	switch {
	case e == nil:
		return other
	case other != nil:
		e.letter.Message += "; " + other.letter.GetMessage()
	}
	return e
}

// with returns the error that ends a pass. A refusal is joined to the earlier ones, if there are any. Any other failure
// is returned without them, because the next pass meets them again.
func (e *refusedError) with(err error) error {
	if refused := new(refusedError); errors.As(err, &refused) && e != nil {
		return e.join(refused)
	}
	return err
}

// withRestApplied returns the refusals of a pass that has applied everything else. It returns nil if there were none.
func (e *refusedError) withRestApplied() error {
	if e == nil {
		return nil
	}
	e.letter.Message += "; everything else of the product was applied"
	return e
}

// withRestHeld returns the refusals of a pass whose other calls the guard holds. It returns nil if there were none.
func (e *refusedError) withRestHeld() error {
	if e == nil {
		return nil
	}
	e.letter.Message += "; the guard holds everything else of the product, which can be approved once this letter is closed"
	return e
}

// leaveOut makes the next rounds of a pass leave out what Stripe has refused, and returns the refusals so far. If the
// refusal is about a lookup key, the key's owner decides. If the rest cannot be sent without the refused part, it
// returns the refusals as an error.
func (p *pusher) leaveOut(
	ctx context.Context, req plan.Request, f *plan.Failed, earlier *refusedError,
) (*refusedError, error) {
	if req.Keys.NeedsOwner(f) {
		aboutKey, err := p.resolveKeyOwner(ctx, req, f)
		return earlier.join(aboutKey), err
	}
	refused := earlier.join(p.refusal(req.Change, f))
	if !req.Skips.Add(f) {
		return nil, refused
	}
	return refused, nil
}

// refusal returns the dead letter of a call that Stripe has refused.
func (p *pusher) refusal(change *catalogv1.ProductChange, f *plan.Failed) *refusedError {
	message := f.Message
	if message == "" {
		message = f.Err.Error()
	}
	return p.refusedCall(change, f, f.Failure.Param, message)
}

// refusedCall returns the dead letter of a refused call that is about a field.
func (p *pusher) refusedCall(change *catalogv1.ProductChange, f *plan.Failed, field, message string) *refusedError {
	letter := p.deadLetter(change, topology.ReasonRefused, message)
	letter.Field = field
	letter.Step = f.Step.String()
	letter.StripeCode = f.Code
	letter.StripeRequestId = f.RequestID
	return &refusedError{letter}
}

// callError is the error of a call that failed and may succeed later.
func (p *pusher) callError(change *catalogv1.ProductChange, c plan.Conclusion) error {
	return fmt.Errorf("product %s: %s: %w (%d of %d steps done; %s)", change.GetProductId(), c.Failed.Step,
		c.Failed.Failure, c.Done, c.Of, c.Failed.Action)
}

// roundsError is the error of a pass whose last round has left a difference.
func (p *pusher) roundsError(change *catalogv1.ProductChange, c plan.Conclusion) error {
	if c.IsReserved {
		return p.reservedID(change, c.Failed)
	}
	err := errChangedMeanwhile
	if c.Failed != nil {
		err = p.callError(change, c)
	}
	return fmt.Errorf("product %s: still different after %d rounds: %w", change.GetProductId(), maxRounds, err)
}

// reservedID is the refusal of a product that Stripe does not hold and does not create.
func (p *pusher) reservedID(change *catalogv1.ProductChange, f *plan.Failed) *refusedError {
	return p.refusedCall(change, f, "id", fmt.Sprintf(
		"Stripe does not create product %s because a deleted product had this id: give the product another id in "+
			"the catalog, or create one in Stripe with another id and adopt it (docs/adoption.md). Stripe's message: %s",
		f.StripeProduct(), f.Message))
}

// notConverging is the refusal of a product that differs although Stripe accepted every call.
func (p *pusher) notConverging(change *catalogv1.ProductChange, left []catalog.Step) *refusedError {
	return &refusedError{p.deadLetter(change, topology.ReasonNotConverging,
		fmt.Sprintf("Stripe accepted every call but still holds other values; remaining steps: %s",
			describeSteps(left)))}
}
