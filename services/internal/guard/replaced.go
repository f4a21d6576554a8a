package guard

import (
	"maps"
	"slices"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// taken returns the active prices that the change archives, or that a price which it creates or activates replaces. A
// price that was replaced earlier and kept for a while was counted then.
func (s *sale) taken() []string {
	taken := map[string]bool{}
	for id := range s.retired {
		taken[id] = catalog.FindPrice(s.Observed, id).GetPrice().GetActive()
	}
	for _, step := range s.Steps {
		if held := s.replaced(step); held != nil {
			taken[held.GetStripeId()] = true
		}
	}
	for _, p := range s.After.GetPrices() {
		// Its overlap begins.
		if p.GetReplacedAt() != nil && catalog.FindPrice(s.Observed, p.GetStripeId()).GetPrice().GetActive() {
			taken[p.GetStripeId()] = true
		}
	}
	maps.DeleteFunc(taken, func(id string, taken bool) bool {
		return !taken || catalog.FindPrice(s.Observed, id).GetReplacedAt() != nil
	})
	return slices.Sorted(maps.Keys(taken))
}

// replaced returns the active price that a step replaces, nil if there is none. The step creates a price, or sells
// again at one that is archived or kept for a while.
func (s *sale) replaced(step catalog.Step) (found *catalogv1.ObservedPrice) {
	switch step.Kind {
	case catalog.CreatePrice:
	case catalog.UpdatePrice:
		again := catalog.FindPrice(s.Observed, step.StripePriceID)
		active, _ := step.Param("active")
		isKept := isActive(again.GetPrice()) && again.GetReplacedAt() != nil
		if again == nil || active == "false" || !isKept && !s.unarchived[step.StripePriceID] {
			return nil
		}
	case catalog.CreateProduct, catalog.UpdateProduct:
		return nil
	}
	for _, p := range s.Observed.GetPrices() {
		if p.GetPrice().GetId() == step.PriceID && isActive(p.GetPrice()) && p.GetStripeId() != step.StripePriceID &&
			(found == nil || isLaterSold(p, found)) {
			found = p
		}
	}
	return found
}

// isLaterSold reports whether a price has been what the catalog sells at for a shorter time than another of its prices:
// it was not replaced, or else it is the later one.
func isLaterSold(p, other *catalogv1.ObservedPrice) bool {
	if (p.GetReplacedAt() == nil) != (other.GetReplacedAt() == nil) {
		return p.GetReplacedAt() == nil
	}
	return p.GetCreated() > other.GetCreated()
}
