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

// refusedError is a change that can never be applied as a whole.
type refusedError struct {
	letter *meshv1.DeadLetter
	// step is the call that Stripe refused; nil if the change was refused for another reason.
	step *failedStep
}

func (e *refusedError) Error() string { return e.letter.GetMessage() }

// and adds the words of another refusal of the same product. The letter stays that of the first.
func (e *refusedError) and(other *refusedError) *refusedError {
	if e == nil {
		return other
	}
	e.letter.Message += "; " + other.letter.GetMessage()
	return e
}

// withRest says that the refusals were all that was not applied.
func (e *refusedError) withRest() *refusedError {
	e.letter.Message += "; everything else of the product was applied"
	return e
}

// keptIDError is a product that Stripe neither holds nor creates, because it keeps the ids of products that were
// deleted.
type keptIDError struct{ *refusedError }

func (p *pusher) keptID(pl *plan, f *failedStep) error {
	exists := f.Kind == catalog.CreateProduct && f.Code == string(stripe.ErrorCodeResourceAlreadyExists)
	if !exists || !pl.looked || pl.base.GetProduct() != nil {
		return nil
	}
	letter := p.letter(pl.change, topology.ReasonRefused, fmt.Sprintf(
		"Stripe makes no product %s, because it keeps the id of one that was deleted, and holds none either: give the product another id in "+
			"the catalog, or make one in Stripe under another id and adopt it (docs/adoption.md). Stripe's words: %s",
		f.StripeProduct(), f.Message))
	letter.Field, letter.StripeCode, letter.StripeRequestId, letter.Step = "id", f.Code, f.RequestID, f.Step.String()
	return &keptIDError{&refusedError{letter: letter}}
}

// mostSkips bounds what a pass leaves out because Stripe refused it: each costs a call and a look.
const mostSkips = 4

// skips are the parts of a product's calls that Stripe refused in this pass. The rest is made without them, so that a
// field costs no more than itself, and no price is left with its old and its new amount on sale. A nil one skips
// nothing.
type skips struct{ parts []skip }

// skip is a call, or some parameters of it.
type skip struct {
	kind                   catalog.StepKind
	priceID, stripePriceID string
	// params is nil for the whole call.
	params []string
}

func (s *skips) empty() bool { return s == nil || len(s.parts) == 0 }

// structural are the parameters of updates that decide what is on sale: they are tried without the others.
var structural = []string{"active", defaultPrice}

const defaultPrice = "default_price"

// add takes a refusal into account. It reports whether the rest of the product can be made without what was refused.
func (s *skips) add(f *failedStep) bool {
	if f.Failure == nil || f.Action != stripeapi.Refuse || f.Kind == catalog.CreateProduct ||
		len(s.parts) >= mostSkips {
		return false
	}
	part := skip{kind: f.Kind, priceID: f.PriceID, stripePriceID: f.StripePriceID}
	if f.Kind != catalog.CreatePrice {
		part.params = refusedParams(f)
	}
	s.parts = append(s.parts, part)
	return true
}

// refusedParams are the parameters of an update to leave out: those that were only sent to clear the field that Stripe
// names, or else all that are not structural. It is nil for all of them.
func refusedParams(f *failedStep) []string {
	var named, rest []string
	clears, keeps, structure := true, false, false
	for _, p := range f.Params {
		if names(f.Failure.Param, p.Name) {
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

// names reports whether Stripe's name of a parameter, which may be that of the whole field, is about one that was sent.
func names(param, sent string) bool {
	if rest, ok := strings.CutPrefix(param, "features"); ok {
		param = "marketing_features" + rest
	}
	return param != "" && (sent == param || strings.HasPrefix(sent, param+"["))
}

// filter leaves the refused parts out of calls, and what needs a price that was not created.
func (s *skips) filter(steps []catalog.Step, observed *catalogv1.Observed) []catalog.Step {
	if s.empty() {
		return steps
	}
	var out []catalog.Step
	for _, step := range steps {
		whole := slices.ContainsFunc(s.parts,
			func(x skip) bool { return x.params == nil && x.is(step) || x.replaces(step) })
		var params []catalog.Param
		for _, p := range step.Params {
			switch {
			case !whole && !s.leavesOut(step, p):
				params = append(params, p)
			case step.Kind == catalog.UpdateProduct && p.Name == defaultPrice && p.Value == "" && p.PriceRef == "":
				params = append(params, successor(steps, observed)...)
			}
		}
		if len(params) > 0 {
			step.Params = params
			out = append(out, step)
		}
	}
	return out
}

// successor moves the default price to the one that takes its place in the catalog. Where it may not be cleared, that
// is the only way to take the old amount off sale: Stripe archives no default price.
func successor(steps []catalog.Step, observed *catalogv1.Observed) []catalog.Param {
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

func (s *skips) leavesOut(step catalog.Step, p catalog.Param) bool {
	return slices.ContainsFunc(s.parts, func(x skip) bool {
		return x.is(step) && slices.Contains(x.params, p.Name) ||
			x.kind == catalog.CreatePrice && p.PriceRef == x.priceID
	})
}

func (x skip) is(step catalog.Step) bool {
	return x.kind == step.Kind && x.priceID == step.PriceID && x.stripePriceID == step.StripePriceID
}

// replaces reports whether a step is about the price whose place one would have taken that was refused: it stays on
// sale.
func (x skip) replaces(step catalog.Step) bool {
	return x.kind == catalog.CreatePrice && step.Kind == catalog.UpdatePrice && step.PriceID == x.priceID
}

// complete reports whether all of a desired state is applied when the pass has nothing left to do.
func (o order) complete() bool { return o.skips.empty() && (o.keys == nil || len(o.keys.left) == 0) }

// settleVersion records that a version is applied, unless something of it was refused.
func (p *pusher) settleVersion(o order, observed *catalogv1.Observed) {
	if !o.complete() {
		return
	}
	catalog.Agree(p.policy, o.change, observed)
	observed.Version = max(observed.GetVersion(), o.change.GetVersion())
}
