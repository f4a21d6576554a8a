package plan

import (
	"slices"
	"strings"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
)

// maxSkips bounds how many refused parts a pass leaves out. Each costs a call and a reread.
const maxSkips = 4

// Skips are the parts of a product's calls that Stripe refused in this pass. The other parts are sent without them. So
// a refused field blocks only itself, and no price change is left with both amounts on sale. A nil Skips leaves nothing
// out.
type Skips struct{ parts []skip }

// skip is a call, or some of its parameters.
type skip struct {
	kind                   catalog.StepKind
	priceID, stripePriceID string
	// params is nil for the whole call.
	params []string
}

func (s *Skips) isEmpty() bool { return s == nil || len(s.parts) == 0 }

// structural are the update parameters that decide what is on sale. They are tried without the others.
var structural = []string{"active", defaultPrice}

const defaultPrice = "default_price"

// Add records a refusal. It reports whether the other parts of the product can be sent without what was refused.
func (s *Skips) Add(f *Failed) bool {
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
func refusedParams(f *Failed) []string {
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
func (s *Skips) filter(steps []catalog.Step, observed *catalogv1.Observed) []catalog.Step {
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

func (s *Skips) skipsParam(step catalog.Step, p catalog.Param) bool {
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
