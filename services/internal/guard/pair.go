package guard

import (
	"fmt"
	"slices"
	"strings"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// pair is a price that takes the place of another, or changes in place. Both are canonical.
type pair struct{ before, after *catalogv1.Price }

// pairs returns the prices that the change replaces or edits, with what they become. A price that goes on sale replaces
// the first of these:
//   - the active price with its id;
//   - the active price with its lookup key, because tables that never edit a price give each amount another id;
//   - the only price that the change archives and that has the same currency and interval;
//   - the price with its id that was archived last.
func (s *sale) pairs() []pair {
	out, arrivals := s.edited()
	taken := map[string]bool{}
	arrivals = slices.DeleteFunc(arrivals, func(after *catalogv1.Price) bool {
		held := s.activePredecessor(after)
		if held != nil {
			taken[held.GetStripeId()] = true
			out = append(out, pair{catalog.CanonicalPrice(held.GetPrice()), after})
		}
		return held != nil
	})
	byTerms := s.pairByTerms(arrivals, taken)
	for _, after := range arrivals {
		before := byTerms[after.GetId()]
		if before == nil {
			before = s.archivedPredecessor(after)
		}
		if before != nil {
			out = append(out, pair{before, after})
		}
	}
	return out
}

// edited returns the prices whose amounts are edited in place, and those that go on sale: they are created, or were
// archived or only kept for a while.
func (s *sale) edited() (edited []pair, arrivals []*catalogv1.Price) {
	for _, step := range s.Steps {
		after := s.wanted[step.PriceID]
		if after == nil {
			continue
		}
		switch step.Kind {
		case catalog.CreatePrice:
			arrivals = append(arrivals, after)
		case catalog.UpdatePrice:
			held := catalog.FindPrice(s.Observed, step.StripePriceID)
			switch {
			case held != nil && s.again[after.GetId()] == step.StripePriceID:
				// An earlier step of the same price has put it on sale.
			case s.unarchived[step.StripePriceID] || s.replaced(step) != nil:
				s.again[after.GetId()] = step.StripePriceID
				arrivals = append(arrivals, after)
			case held != nil && editsAmounts(step):
				edited = append(edited, pair{catalog.CanonicalPrice(held.GetPrice()), after})
			}
		case catalog.CreateProduct, catalog.UpdateProduct:
		}
	}
	for _, p := range s.Observed.GetPrices() {
		// The change sells again at a kept price, without a call about it.
		id, after := p.GetPrice().GetId(), catalog.FindPrice(s.After, p.GetStripeId())
		if p.GetReplacedAt() != nil && isActive(p.GetPrice()) && after != nil && after.GetReplacedAt() == nil &&
			!s.retired[p.GetStripeId()] && s.again[id] == "" && s.wanted[id] != nil {
			s.again[id] = p.GetStripeId()
			arrivals = append(arrivals, s.wanted[id])
		}
	}
	return edited, arrivals
}

// activePredecessor returns the active price in Stripe that has a price's id, or else its lookup key. The one that the
// catalog has sold at last comes first. It is never the price itself, which may be active because it was kept.
func (s *sale) activePredecessor(after *catalogv1.Price) *catalogv1.ObservedPrice {
	other := func(p *catalogv1.ObservedPrice) bool {
		return p.GetPrice().GetActive() && p.GetStripeId() != s.again[after.GetId()]
	}
	if found := s.latest(func(p *catalogv1.ObservedPrice) bool {
		return other(p) && p.GetPrice().GetId() == after.GetId()
	}); found != nil {
		return found
	}
	key := catalog.LookupKey(after)
	return s.latest(func(p *catalogv1.ObservedPrice) bool { return other(p) && p.GetPrice().GetLookupKey() == key })
}

// archivedPredecessor returns the latest price that had the id of one that goes on sale, nil if there was none. If that
// is the price itself, only amounts that the change edits differ.
func (s *sale) archivedPredecessor(after *catalogv1.Price) *catalogv1.Price {
	found := s.latest(func(p *catalogv1.ObservedPrice) bool { return p.GetPrice().GetId() == after.GetId() })
	if found == nil {
		return nil
	}
	return catalog.CanonicalPrice(found.GetPrice())
}

func (s *sale) latest(matches func(*catalogv1.ObservedPrice) bool) (found *catalogv1.ObservedPrice) {
	for _, p := range s.Observed.GetPrices() {
		if matches(p) && (found == nil || isLaterSold(p, found)) {
			found = p
		}
	}
	return found
}

// pairByTerms returns, by the id of the later price, pairs with the same currency and interval. Only one price with
// them goes on sale, and only one is archived.
func (s *sale) pairByTerms(arrivals []*catalogv1.Price, taken map[string]bool) map[string]*catalogv1.Price {
	terms := func(p *catalogv1.Price) string {
		r := p.GetRecurring()
		return fmt.Sprint(p.GetCurrency(), " ", r.GetInterval(), " ", r.GetIntervalCount(), " ", r.GetUsageType())
	}
	archived := map[string][]*catalogv1.Price{}
	for _, p := range s.Observed.GetPrices() {
		if s.retired[p.GetStripeId()] && !taken[p.GetStripeId()] && isActive(p.GetPrice()) {
			price := catalog.CanonicalPrice(p.GetPrice())
			archived[terms(price)] = append(archived[terms(price)], price)
		}
	}
	count := map[string]int{}
	for _, after := range arrivals {
		count[terms(after)]++
	}
	out := map[string]*catalogv1.Price{}
	for _, after := range arrivals {
		if before := archived[terms(after)]; len(before) == 1 && count[terms(after)] == 1 {
			out[after.GetId()] = before[0]
		}
	}
	return out
}

// editsAmounts reports whether a step writes amounts of a price that stays.
func editsAmounts(step catalog.Step) bool {
	return slices.ContainsFunc(step.Params, func(p catalog.Param) bool {
		return strings.HasPrefix(p.Name, "currency_options[")
	})
}
