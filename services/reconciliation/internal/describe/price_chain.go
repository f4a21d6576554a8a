package describe

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// maxCallDelay is how much a price's time of creation may differ from that of the audit trail's entry about its
// creation.
const maxCallDelay = 10 * time.Minute

// PriceChains returns the prices of a product in Stripe, by the price of the catalog that they were, each chain with
// the earliest price first. states are those of Stripe, the earliest first and the present one last. entries are those
// of the audit trail.
func PriceChains(states []*catalogv1.Observed, entries []*controlv1.HistoryEntry) []*controlv1.PriceChain {
	type chain struct{ priceID, foreignID string }
	chains := map[chain][]*catalogv1.ObservedPrice{}
	for _, price := range latestPrices(states) {
		key := chain{priceID: price.GetPrice().GetId()}
		if key.priceID == "" {
			// Others made this price: it has a chain of its own.
			key.foreignID = price.GetStripeId()
		}
		chains[key] = append(chains[key], price)
	}
	var out []*controlv1.PriceChain
	for _, prices := range chains {
		slices.SortFunc(prices, comparePrices)
		out = append(out, chainOf(prices, entries))
	}
	slices.SortFunc(out, compareChains)
	return out
}

// compareChains orders by the catalog's id. Prices of others come last, by Stripe's id.
func compareChains(a, b *controlv1.PriceChain) int {
	switch {
	case a.GetPriceId() == "" && b.GetPriceId() != "":
		return 1
	case a.GetPriceId() != "" && b.GetPriceId() == "":
		return -1
	}
	return cmp.Or(strings.Compare(a.GetPriceId(), b.GetPriceId()),
		strings.Compare(a.GetPrices()[0].GetStripePriceId(), b.GetPrices()[0].GetStripePriceId()))
}

// latestPrices returns the latest known state of each price. A price that the present state lacks is not active.
func latestPrices(states []*catalogv1.Observed) map[string]*catalogv1.ObservedPrice {
	latest := map[string]*catalogv1.ObservedPrice{}
	for i, state := range states {
		for _, price := range state.GetPrices() {
			if price.GetPrice() == nil {
				continue
			}
			if i < len(states)-1 {
				price = proto.CloneOf(price)
				price.Price.Active = new(false)
			}
			latest[price.GetStripeId()] = price
		}
	}
	return latest
}

// comparePrices orders by the time of creation. Among prices of the same second, an active one is the latest.
func comparePrices(a, b *catalogv1.ObservedPrice) int {
	rank := func(p *catalogv1.ObservedPrice) int {
		switch {
		case !p.GetPrice().GetActive():
			return 0
		case catalog.IsKept(p):
			return 1
		default:
			return 2
		}
	}
	return cmp.Or(cmp.Compare(a.GetCreated(), b.GetCreated()), cmp.Compare(rank(a), rank(b)),
		strings.Compare(a.GetStripeId(), b.GetStripeId()))
}

// chainOf returns the chain of prices that were the same price of the catalog, the earliest first.
func chainOf(prices []*catalogv1.ObservedPrice, entries []*controlv1.HistoryEntry) *controlv1.PriceChain {
	out := &controlv1.PriceChain{PriceId: prices[0].GetPrice().GetId()}
	for i, p := range prices {
		price := &controlv1.ChainedPrice{
			StripePriceId: p.GetStripeId(),
			Amount:        catalog.FormatPrice(p.GetPrice()),
			Active:        p.GetPrice().GetActive(),
			KeepUntil:     p.GetKeepUntil(),
			Origin:        originOf(p, i == 0, entries),
		}
		if p.GetCreated() > 0 {
			price.CreatedAt = timestamppb.New(time.Unix(p.GetCreated(), 0))
		}
		if i > 0 {
			before := out.GetPrices()[i-1]
			before.ReplacedBy = p.GetStripeId()
			before.ReplacedAt = cmp.Or(prices[i-1].GetReplacedAt(), price.GetCreatedAt())
		}
		out.Prices = append(out.Prices, price)
	}
	return out
}

// originOf returns the call that created a price, nil if it is not known. isFirst reports whether the price is the
// first of its chain. A call that creates a product with its price names only the catalog's price, so the times decide
// whether it created this one.
func originOf(p *catalogv1.ObservedPrice, isFirst bool, entries []*controlv1.HistoryEntry) *controlv1.PriceOrigin {
	for _, e := range entries {
		age := e.GetAt().AsTime().Sub(time.Unix(p.GetCreated(), 0))
		mayBeWithProduct := isFirst && p.GetPrice().GetId() != "" && age.Abs() <= maxCallDelay
		for _, step := range e.GetSteps() {
			isOwn := step.GetObjectId() == p.GetStripeId() && strings.HasPrefix(step.GetStep(), "create price ")
			isWithProduct := mayBeWithProduct &&
				strings.HasPrefix(step.GetStep(), "create product ") &&
				strings.HasSuffix(step.GetStep(), " with price "+p.GetPrice().GetId())
			if isOwn || isWithProduct {
				return &controlv1.PriceOrigin{
					Version:         e.GetVersion(),
					At:              e.GetAt(),
					TraceId:         e.GetTraceId(),
					StripeRequestId: step.GetStripeRequestId(),
					Step:            step.GetStep(),
				}
			}
		}
	}
	return nil
}
