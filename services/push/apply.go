package push

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// appliedStep is a call that succeeded.
type appliedStep struct {
	catalog.Step
	key string
	*stripeapi.Applied
}

// failedStep is the call that ended a pass early.
type failedStep struct {
	catalog.Step
	*stripeapi.Failure
	// notSent reports whether the call was not made.
	notSent bool
	// index is the step's position in the plan.
	index int
}

// apply makes the calls of a plan in order and stops at the first that fails.
func (p *pusher) apply(ctx context.Context, pl *plan) (done []appliedStep, failed *failedStep) {
	created := map[string]string{}
	for i, planned := range pl.steps {
		step := withCreatedIDs(planned.Step, created)
		stepCtx, span := startSpan(ctx, string(step.Kind))
		span.SetAttributes(telemetry.StepKey.String(step.String()), telemetry.IdempotencyKeyKey.String(planned.key))
		result, err := p.stripe.Apply(stepCtx, step, planned.key, func() error { return p.checkClaim(ctx, pl, i) })
		countStep(ctx, step.Kind, err)
		if err != nil {
			f := &failedStep{Step: step, Failure: stripeapi.Classify(err), index: i}
			var notSent *stripeapi.NotSentError
			f.notSent = errors.As(err, &notSent)
			if f.RequestID != "" {
				span.SetAttributes(telemetry.StripeRequestIDKey.String(f.RequestID))
			}
			endSpan(span, f)
			return done, f
		}
		span.SetAttributes(telemetry.StripeRequestIDKey.String(result.RequestID),
			telemetry.StripeReplayedKey.Bool(result.Replayed))
		span.End()
		p.endHalt(ctx)
		switch step.Kind {
		case catalog.CreatePrice:
			created[step.PriceID] = result.ObjectID
		case catalog.CreateProduct:
			created[step.PriceID] = result.Product.Product.GetDefaultPrice()
		case catalog.UpdateProduct, catalog.UpdatePrice:
		}
		p.logger.DebugContext(stepCtx, "applied", "step", step.String(), "object", result.ObjectID,
			"request", result.RequestID)
		done = append(done, appliedStep{step, planned.key, result})
	}
	return done, nil
}

// withCreatedIDs fills in Stripe's ids of prices that earlier steps created.
func withCreatedIDs(step catalog.Step, created map[string]string) catalog.Step {
	params := make([]catalog.Param, len(step.Params))
	for i, param := range step.Params {
		if id, ok := created[param.PriceRef]; ok && param.PriceRef != "" {
			param = catalog.Param{Name: param.Name, Value: id}
		}
		params[i] = param
	}
	step.Params = params
	if step.Kind == catalog.UpdatePrice && step.StripePriceID == "" {
		step.StripePriceID = created[step.PriceID]
	}
	return step
}

// stepError turns the failure of a step into the error of the pass.
func (p *pusher) stepError(pl *plan, applied []appliedStep, f *failedStep) error {
	if f.Action != stripeapi.Refuse {
		return fmt.Errorf("product %s: %s: %w (%d of %d steps done; %s)", pl.change.GetProductId(), f.Step, f.Err,
			len(applied), len(pl.steps), f.Action)
	}
	letter := p.deadLetter(pl.change, topology.ReasonRefused, f.Err.Error())
	letter.Field, letter.StripeCode, letter.StripeRequestId, letter.Step = f.Failure.Param, f.Code, f.RequestID,
		f.Step.String()
	if f.Message != "" {
		letter.Message = f.Message
	}
	return &refusedError{letter: letter, step: f}
}

// repeatedSteps returns the remaining steps that set what one of the calls has just set.
func repeatedSteps(left []catalog.Step, applied []appliedStep) []catalog.Step {
	return slices.DeleteFunc(slices.Clone(left), func(l catalog.Step) bool {
		return !slices.ContainsFunc(applied, func(a appliedStep) bool {
			sets := func(param catalog.Param) bool {
				value, ok := a.Param(param.Name)
				return ok && value == param.Value
			}
			return l.Kind == a.Kind && l.PriceID == a.PriceID && l.StripePriceID == a.StripePriceID &&
				(l.Kind == catalog.CreateProduct || l.Kind == catalog.CreatePrice ||
					slices.ContainsFunc(l.Params, sets))
		})
	})
}
