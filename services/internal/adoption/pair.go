package adoption

import (
	"fmt"
	"slices"
	"strings"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// Doubt is a reason not to adopt without having had a look.
type Doubt string

// The doubts.
const (
	// NameOnly: nothing but the name speaks for it.
	NameOnly Doubt = "name_only"
	// Ambiguous: several products come into question, on either side.
	Ambiguous Doubt = "ambiguous"
	// Contradiction: something else speaks for another product of Stripe's.
	Contradiction Doubt = "contradiction"
	// Marked: Stripe's product, or price, carries the mark of another of the catalog's; it cannot be adopted as it is.
	Marked Doubt = "marked"
	// Archived: Stripe's product is archived, and the catalog sells it.
	Archived Doubt = "archived"
	// MetadataFull: with the mark the product would have more keys of metadata than Stripe takes; it cannot be adopted.
	MetadataFull Doubt = "metadata_full"
	// PriceDiffers: a price differs in what Stripe never changes; it would be replaced by a new one.
	PriceDiffers Doubt = "price_differs"
	// PriceUnmatched: a price of the catalog fits none of Stripe's, and there are some; a new one would be made.
	PriceUnmatched Doubt = "price_unmatched"
)

// Reservation is a doubt about one match.
type Reservation struct {
	Doubt Doubt
	// Price is the catalog's id of the price concerned; empty if the product is.
	Price string
	// Detail says in words what it is.
	Detail string
}

// Proposal is a match with its prices.
type Proposal struct { //nolint:recvcheck // built by pointer, read by value
	Match

	// Prices are Stripe's ids of prices by the catalog's ids, those that carry their mark already left out.
	Prices map[string]string
	// Replace are the catalog's ids of those that would be replaced.
	Replace []string
	// Create are the catalog's ids of active prices that Stripe holds nothing for.
	Create []string
	// Reservations are why the proposal is doubtful; none if it is certain.
	Reservations []Reservation
}

// Certain says whether the proposal is beyond doubt.
func (p Proposal) Certain() bool { return len(p.Reservations) == 0 }

// Doubts are the kinds of the reservations, each once, with the price it concerns: "price_differs mug-eur".
func (p Proposal) Doubts() []string {
	var out []string
	for _, r := range p.Reservations {
		out = append(out, r.String())
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (r Reservation) String() string { return strings.TrimSpace(string(r.Doubt) + " " + r.Price) }

// Propose works a match out: which prices stand for which, and what speaks against it. Held is what Stripe holds of the
// product, nil if several come into question.
func Propose(m Match, change *catalogv1.ProductChange, held *catalogv1.Observed) Proposal {
	p := Proposal{Match: m, Prices: map[string]string{}}
	if m.StripeID == "" {
		p.doubt(Ambiguous, "", "one of "+strings.Join(m.Candidates, ", "))
		return p
	}
	if m.Why == ByName {
		p.doubt(NameOnly, "", "only the name is the same")
	}
	if len(m.Rivals) > 0 {
		p.doubt(Ambiguous, "", m.StripeID+" may be "+strings.Join(m.Rivals, ", ")+" too")
	}
	if m.Contrary != "" {
		p.doubt(Contradiction, "", "something else speaks for "+m.Contrary)
	}
	p.weigh(change, held)
	return p
}

// weigh pairs the prices and looks for what speaks against the pair itself.
func (p *Proposal) weigh(change *catalogv1.ProductChange, held *catalogv1.Observed) {
	want, have := change.GetProduct(), held.GetProduct()
	if marked := have.GetMetadata()[catalog.ProductMarker]; marked != "" && marked != p.Product &&
		p.StripeID != p.Product {
		p.doubt(Marked, "", fmt.Sprintf("metadata %s is %q", catalog.ProductMarker, marked))
	}
	if !have.GetActive() && (want.Active == nil || want.GetActive()) {
		p.doubt(Archived, "", "archived in Stripe, and would be unarchived")
	}
	if n := catalog.MetadataKeys(want, p.StripeID); n > catalog.MaxMetadata {
		p.doubt(MetadataFull, "", fmt.Sprintf("%d keys of metadata with the mark, of %d", n, catalog.MaxMetadata))
	}
	p.pair(change, held.GetPrices(), have.GetDefaultPrice())
}

func (p *Proposal) doubt(d Doubt, price, detail string) {
	p.Reservations = append(p.Reservations, Reservation{d, price, detail})
}

// pair gives every active price of the catalog one of Stripe's active ones that carry no mark: the one with its lookup
// key, or else the only one that is the same in all that Stripe never changes.
func (p *Proposal) pair(change *catalogv1.ProductChange, held []*catalogv1.ObservedPrice, defaultPrice string) {
	var free []*catalogv1.ObservedPrice
	marked := map[string]bool{}
	for _, h := range held {
		switch {
		case h.GetPrice().GetId() != "" && h.GetAdoptedAs() == "":
			marked[h.GetPrice().GetId()] = true
		case h.GetPrice().GetActive():
			free = append(free, h)
		}
	}
	slices.SortFunc(free,
		func(a, b *catalogv1.ObservedPrice) int { return strings.Compare(a.GetStripeId(), b.GetStripeId()) })
	take := func(id string, h *catalogv1.ObservedPrice) {
		p.Prices[id] = h.GetStripeId()
		free = slices.DeleteFunc(free, func(f *catalogv1.ObservedPrice) bool { return f == h })
	}
	var open []*catalogv1.Price
	for _, want := range sellable(change) {
		if marked[want.GetId()] {
			continue
		}
		i := slices.IndexFunc(free,
			func(h *catalogv1.ObservedPrice) bool { return h.GetPrice().GetLookupKey() == catalog.LookupKey(want) })
		if i < 0 {
			open = append(open, want)
			continue
		}
		h := free[i]
		if differs, _ := catalog.StructureDiffers(change, want.GetId(), h.GetPrice()); len(differs) > 0 {
			p.Replace = append(p.Replace, want.GetId())
			p.doubt(PriceDiffers, want.GetId(), fmt.Sprintf("%s of %s differs in %s (%s, not %s): it would be replaced",
				h.GetStripeId(), want.GetId(), strings.Join(differs, ", "), catalog.FormatPrice(h.GetPrice()),
				catalog.FormatPrice(want)))
		}
		take(want.GetId(), h)
	}
	for _, want := range p.alike(change, open, free, defaultPrice, take) {
		p.Create = append(p.Create, want.GetId())
		if len(free) > 0 {
			p.doubt(PriceUnmatched, want.GetId(), fmt.Sprintf("%s (%s) is none of %s beyond doubt: it would be made",
				want.GetId(), catalog.FormatPrice(want), inWords(free)))
		}
	}
}

// alike pairs what is alike and unlike all others, and returns what is left. The default price goes before others of
// its kind.
func (p *Proposal) alike(change *catalogv1.ProductChange, open []*catalogv1.Price, free []*catalogv1.ObservedPrice,
	defaultPrice string, take func(string, *catalogv1.ObservedPrice),
) []*catalogv1.Price {
	fits := func(want *catalogv1.Price, h *catalogv1.ObservedPrice) bool {
		differs, ok := catalog.StructureDiffers(change, want.GetId(), h.GetPrice())
		return ok && len(differs) == 0
	}
	isDefault := func(want *catalogv1.Price, h *catalogv1.ObservedPrice) bool {
		return want.GetId() == change.GetProduct().GetDefaultPrice() && h.GetStripeId() == defaultPrice && fits(want, h)
	}
	chosen := map[string]*catalogv1.ObservedPrice{}
	used := map[string]bool{}
	for _, want := range open {
		for _, h := range free {
			if isDefault(want, h) {
				chosen[want.GetId()], used[h.GetStripeId()] = h, true
			}
		}
	}
	suitors := map[string]int{}
	for _, h := range free {
		for _, want := range open {
			if chosen[want.GetId()] == nil && fits(want, h) {
				suitors[h.GetStripeId()]++
			}
		}
	}
	var left []*catalogv1.Price
	for _, want := range open {
		if chosen[want.GetId()] == nil {
			var candidates []*catalogv1.ObservedPrice
			for _, h := range free {
				if !used[h.GetStripeId()] && fits(want, h) {
					candidates = append(candidates, h)
				}
			}
			if len(candidates) != 1 || suitors[candidates[0].GetStripeId()] != 1 {
				left = append(left, want)
				continue
			}
			chosen[want.GetId()] = candidates[0]
		}
	}
	for _, want := range open {
		if h := chosen[want.GetId()]; h != nil {
			take(want.GetId(), h)
		}
	}
	return left
}

func inWords(prices []*catalogv1.ObservedPrice) string {
	words := make([]string, len(prices))
	for i, p := range prices {
		words[i] = p.GetStripeId() + " (" + catalog.FormatPrice(p.GetPrice()) + ")"
	}
	return strings.Join(words, ", ")
}

// sellable are the active prices of the catalog, by id.
func sellable(change *catalogv1.ProductChange) []*catalogv1.Price {
	var out []*catalogv1.Price
	for _, p := range change.GetProduct().GetPrices() {
		if p.Active == nil || p.GetActive() {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b *catalogv1.Price) int { return strings.Compare(a.GetId(), b.GetId()) })
	return out
}
