package push

import (
	"fmt"
	"slices"
	"strings"

	"github.com/stripe/stripe-go/v76"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// refusedError means that a change can never be applied in full.
type refusedError struct {
	letter *meshv1.DeadLetter
	// step is the call that Stripe refused. It is nil if the change was refused for another reason.
	step *failedStep
}

func (e *refusedError) Error() string { return e.letter.GetMessage() }

// join appends the message of another refusal of the same product. The other fields stay those of the first.
func (e *refusedError) join(other *refusedError) *refusedError {
	if e == nil {
		return other
	}
	e.letter.Message += "; " + other.letter.GetMessage()
	return e
}

// withRestApplied adds that everything else was applied.
func (e *refusedError) withRestApplied() *refusedError {
	e.letter.Message += "; everything else of the product was applied"
	return e
}

// reservedIDError means that Stripe neither holds nor creates a product, because it reserves the ids of deleted
// products.
type reservedIDError struct{ *refusedError }

func (p *pusher) checkReservedID(pl *plan, f *failedStep) error {
	exists := f.Kind == catalog.CreateProduct && f.Code == string(stripe.ErrorCodeResourceAlreadyExists)
	if !exists || !pl.reread || pl.base.GetProduct() != nil {
		return nil
	}
	letter := p.deadLetter(pl.change, topology.ReasonRefused, fmt.Sprintf(
		"Stripe does not create product %s because a deleted product had this id: give the product another id in "+
			"the catalog, or create one in Stripe with another id and adopt it (docs/adoption.md). Stripe's message: %s",
		f.StripeProduct(), f.Message))
	letter.Field, letter.StripeCode, letter.StripeRequestId, letter.Step = "id", f.Code, f.RequestID, f.Step.String()
	return &reservedIDError{&refusedError{letter: letter}}
}

// maxSkips bounds how many refused parts a pass leaves out. Each costs a call and a reread.
const maxSkips = 4

// skips are the parts of a product's calls that Stripe refused in this pass. The other parts are sent without them. So
// a refused field blocks only itself, and no price change is left with both amounts on sale. A nil skips leaves nothing
// out.
type skips struct{ parts []skip }

// skip is a call, or some of its parameters.
type skip struct {
	kind                   catalog.StepKind
	priceID, stripePriceID string
	// params is nil for the whole call.
	params []string
}

func (s *skips) isEmpty() bool { return s == nil || len(s.parts) == 0 }

// structural are the update parameters that decide what is on sale. They are tried without the others.
var structural = []string{"active", defaultPrice}

const defaultPrice = "default_price"

// add records a refusal. It reports whether the other parts of the product can be sent without what was refused.
func (s *skips) add(f *failedStep) bool {
	if f.Failure == nil || f.Action != stripeapi.Refuse || f.Kind == catalog.CreateProduct ||
		len(s.parts) >= maxSkips {
		return false
	}
	part := skip{kind: f.Kind, priceID: f.PriceID, stripePriceID: f.StripePriceID}
	if f.Kind != catalog.CreatePrice {
		part.params = refusedParams(f)
	}
	s.parts = append(s.parts, part)
	return true
}

// refusedParams returns the parameters of an update to leave out. These are the ones that only clear the field that
// Stripe names, or else all that are not structural. Nil means all of them.
func refusedParams(f *failedStep) []string {
	var named, rest []string
	clears, keeps, structure := true, false, false
	for _, p := range f.Params {
		if paramMatches(f.Failure.Param, p.Name) {
			named, clears = append(named, p.Name), clears && p.Value == ""
			structure = structure || slices.Contains(structural, p.Name)
		}
		if slices.Contains(structural, p.Name) {
			keeps = true
		} else {
			rest = append(rest, p.Name)
		}
	}
	switch {
	case len(named) > 0 && len(named) < len(f.Params) && clears:
		return named
	case keeps && len(rest) > 0 && !structure:
		return rest
	default:
		return nil
	}
}

// paramMatches reports whether a parameter that Stripe names, which may be a whole field, is about one that was sent.
func paramMatches(param, sent string) bool {
	if rest, ok := strings.CutPrefix(param, "features"); ok {
		param = "marketing_features" + rest
	}
	return param != "" && (sent == param || strings.HasPrefix(sent, param+"["))
}

// filter removes the refused parts from the calls, and every part that needs a price that was not created.
func (s *skips) filter(steps []catalog.Step, observed *catalogv1.Observed) []catalog.Step {
	if s.isEmpty() {
		return steps
	}
	var out []catalog.Step
	for _, step := range steps {
		whole := slices.ContainsFunc(s.parts,
			func(x skip) bool { return x.params == nil && x.matches(step) || x.isReplacedBy(step) })
		var params []catalog.Param
		for _, p := range step.Params {
			switch {
			case !whole && !s.skipsParam(step, p):
				params = append(params, p)
			case step.Kind == catalog.UpdateProduct && p.Name == defaultPrice && p.Value == "" && p.PriceRef == "":
				params = append(params, replacementDefault(steps, observed)...)
			}
		}
		if len(params) > 0 {
			step.Params = params
			out = append(out, step)
		}
	}
	return out
}

// replacementDefault returns the parameter that makes the replacing price the default one. If the default price may not
// be cleared, only this takes the old amount off sale: Stripe archives no default price.
func replacementDefault(steps []catalog.Step, observed *catalogv1.Observed) []catalog.Param {
	held := observed.GetProduct().GetDefaultPrice()
	id := catalog.FindPrice(observed, held).GetPrice().GetId()
	if id == "" || !slices.ContainsFunc(steps, func(s catalog.Step) bool {
		active, ok := s.Param("active")
		return s.Kind == catalog.UpdatePrice && s.StripePriceID == held && ok && active == "false"
	}) {
		return nil
	}
	for _, step := range steps {
		active, _ := step.Param("active")
		switch {
		case step.Kind == catalog.CreatePrice && step.PriceID == id:
			return []catalog.Param{{Name: defaultPrice, PriceRef: id}}
		case step.Kind == catalog.UpdatePrice && step.PriceID == id && active == "true":
			return []catalog.Param{{Name: defaultPrice, Value: step.StripePriceID}}
		}
	}
	for _, p := range observed.GetPrices() {
		if p.GetPrice().GetId() == id && p.GetPrice().GetActive() && p.GetStripeId() != held {
			return []catalog.Param{{Name: defaultPrice, Value: p.GetStripeId()}}
		}
	}
	return nil
}

func (s *skips) skipsParam(step catalog.Step, p catalog.Param) bool {
	return slices.ContainsFunc(s.parts, func(x skip) bool {
		return x.matches(step) && slices.Contains(x.params, p.Name) ||
			x.kind == catalog.CreatePrice && p.PriceRef == x.priceID
	})
}

func (x skip) matches(step catalog.Step) bool {
	return x.kind == step.Kind && x.priceID == step.PriceID && x.stripePriceID == step.StripePriceID
}

// isReplacedBy reports whether a step is about the price that a refused new price would have replaced. The old price
// stays on sale.
func (x skip) isReplacedBy(step catalog.Step) bool {
	return x.kind == catalog.CreatePrice && step.Kind == catalog.UpdatePrice && step.PriceID == x.priceID
}

// isComplete reports whether the whole desired state is applied once the pass has nothing left to do.
func (req passRequest) isComplete() bool {
	return req.skips.isEmpty() && (req.keys == nil || len(req.keys.foreign) == 0)
}

// recordVersion records that a version is applied, unless a part of it was refused.
func (p *pusher) recordVersion(req passRequest, observed *catalogv1.Observed) {
	if !req.isComplete() {
		return
	}
	catalog.Agree(p.policy, req.change, observed)
	observed.Version = max(observed.GetVersion(), req.change.GetVersion())
}
