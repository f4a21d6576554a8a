package plan

import (
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
)

// maxKeyAge is how long an idempotency key is relied on. Stripe may forget keys after 24 hours.
const maxKeyAge = 23 * time.Hour

// MaxCallAge is how long after it was planned a call may still take effect in Stripe. Until then every process repeats
// it only with its own key.
const MaxCallAge = stripeapi.RequestTimeout + 15*time.Second

// PlannedCall is a step with its idempotency key.
type PlannedCall struct {
	catalog.Step
	Key string
	// generation is the product's generation that the key was made with.
	generation uint64
}

// withKeys gives every step its idempotency key. A step whose outcome is unknown keeps the key of its first call. Any
// other step gets a key of the product's current generation.
func (p *Planner) withKeys(steps []catalog.Step, observed *catalogv1.Observed) []PlannedCall {
	out := make([]PlannedCall, len(steps))
	for i, key := range catalog.IdempotencyKeys(steps, p.Account, observed.GetGeneration()) {
		out[i] = PlannedCall{Step: steps[i], Key: key, generation: observed.GetGeneration()}
	}
	for _, intent := range observed.GetIntents() {
		if intent.GetSettled() {
			continue
		}
		for i, key := range catalog.IdempotencyKeys(steps, p.Account, intent.GetGeneration()) {
			if key == intent.GetIdempotencyKey() {
				out[i].Key, out[i].generation = key, intent.GetGeneration()
			}
		}
	}
	return out
}

// hasUnknownOutcome reports whether a call of unknown outcome stays unknown until Stripe is read. That is so if the
// planned calls do not repeat it, or if Stripe may have forgotten its key.
func hasUnknownOutcome(calls []PlannedCall, observed *catalogv1.Observed, now time.Time) bool {
	return slices.ContainsFunc(observed.GetIntents(), func(intent *catalogv1.Intent) bool {
		if intent.GetSettled() {
			return false
		}
		key := intent.GetIdempotencyKey()
		isRepeated := slices.ContainsFunc(calls, func(c PlannedCall) bool { return c.Key == key })
		return !isRepeated || now.Sub(firstCallTime(intent)) > maxKeyAge
	})
}

// intent returns the record of a call that is to be made.
func (p *Plan) intent(req Request, c PlannedCall) *catalogv1.Intent {
	first := p.At
	if before := unsettledIntent(p.Base, c.Key); before != nil {
		// Stripe may have seen the key already.
		first = firstCallTime(before)
	}
	intent := &catalogv1.Intent{
		IdempotencyKey: c.Key, Step: c.String(), Traceparent: req.Traceparent, Version: req.Change.GetVersion(),
		At: timestamppb.New(p.At), FirstAt: timestamppb.New(first), Generation: c.generation,
	}
	if p.Advances() {
		intent.CommittedAt = req.Change.GetCommittedAt()
	}
	return intent
}

// unsettledIntent returns the intent of a key if its outcome was unknown before the plan, else nil.
func unsettledIntent(before *catalogv1.Observed, key string) *catalogv1.Intent {
	if intent := catalog.FindIntent(before, key); intent != nil && !intent.GetSettled() {
		return intent
	}
	return nil
}

// firstCallTime returns when an intent's call was first made. Intents recorded by older versions have no FirstAt.
func firstCallTime(intent *catalogv1.Intent) time.Time {
	if first := intent.GetFirstAt(); first != nil {
		return first.AsTime()
	}
	return intent.GetAt().AsTime()
}

// CreatedPrices are Stripe's ids of the prices that the calls of a plan have created, by the catalog's ids.
type CreatedPrices map[string]string

// Resolve returns the step with Stripe's ids in place of references to prices that calls of the plan have created.
func (c CreatedPrices) Resolve(step catalog.Step) catalog.Step {
	params := make([]catalog.Param, len(step.Params))
	for i, param := range step.Params {
		if id, ok := c[param.PriceRef]; ok {
			param = catalog.Param{Name: param.Name, Value: id}
		}
		params[i] = param
	}
	step.Params = params
	if step.Kind == catalog.UpdatePrice && step.StripePriceID == "" {
		step.StripePriceID = c[step.PriceID]
	}
	return step
}

// Add records the price that a step has created, if it has created one.
func (c CreatedPrices) Add(step catalog.Step, answer *stripeapi.Applied) {
	if step.PriceID == "" {
		return
	}
	switch step.Kind {
	case catalog.CreatePrice:
		c[step.PriceID] = answer.ObjectID
	case catalog.CreateProduct:
		c[step.PriceID] = answer.Product.Product.GetDefaultPrice()
	case catalog.UpdateProduct, catalog.UpdatePrice:
	}
}
