package adoption

import (
	"fmt"
	"slices"
	"strings"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// Doubt is a reason for which a person should check a match before it is adopted.
type Doubt string

// The doubts.
const (
	// NameOnly means that only the names match.
	NameOnly Doubt = "name_only"
	// Ambiguous means that several products are possible, on one side or the other.
	Ambiguous Doubt = "ambiguous"
	// Contradiction means that another reason points to another Stripe product.
	Contradiction Doubt = "contradiction"
	// Marked means that Stripe's product, or price, has the mark of another one in the catalog. It cannot be adopted as
	// it is.
	Marked Doubt = "marked"
	// Archived means that Stripe's product is archived, but the catalog sells it.
	Archived Doubt = "archived"
	// MetadataFull means that the mark would exceed Stripe's limit of metadata keys. The product cannot be adopted.
	MetadataFull Doubt = "metadata_full"
	// PriceDiffers means that a price differs in a field that Stripe never changes. A new price would replace it.
	PriceDiffers Doubt = "price_differs"
	// PriceUnmatched means that a catalog price matches none of Stripe's prices, although there are some. A new price
	// would be created.
	PriceUnmatched Doubt = "price_unmatched"
)

// Doubts are all kinds of doubts.
var Doubts = []Doubt{
	NameOnly, Ambiguous, Contradiction, Marked, Archived, MetadataFull, PriceDiffers, PriceUnmatched,
}

// IsRefusal reports whether a match with the doubt cannot be adopted as it is, even with an approval.
func (d Doubt) IsRefusal() bool { return d == Marked || d == MetadataFull }

// Reservation is a doubt about one match.
type Reservation struct {
	Doubt Doubt
	// Price is the catalog's id of the price concerned. It is empty if the doubt concerns the product.
	Price string
	// Detail describes the doubt for the operator.
	Detail string
}

// Proposal is a match with its prices.
type Proposal struct { //nolint:recvcheck // built by pointer, read by value
	Match

	// Prices maps the catalog's ids of prices to Stripe's ids. It leaves out prices that already have their mark.
	Prices map[string]string
	// Replace are the catalog's ids of the prices that would be replaced.
	Replace []string
	// Create are the catalog's ids of active prices without a match in Stripe.
	Create []string
	// Reservations are the doubts about the proposal. There are none if it is certain.
	Reservations []Reservation
}

// IsCertain reports whether there are no doubts about the proposal.
func (p Proposal) IsCertain() bool { return len(p.Reservations) == 0 }

// Doubts returns the kinds of the reservations, each once, with the price that it concerns: "price_differs mug-eur".
func (p Proposal) Doubts() []string {
	var out []string
	for _, r := range p.Reservations {
		out = append(out, r.String())
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (r Reservation) String() string { return strings.TrimSpace(string(r.Doubt) + " " + r.Price) }

// Propose works out a match: it pairs the prices and collects the doubts. held is what Stripe holds of the product, or
// nil if there are several candidates.
func Propose(m Match, change *catalogv1.ProductChange, held *catalogv1.Observed) Proposal {
	p := Proposal{Match: m, Prices: map[string]string{}}
	if m.StripeID == "" {
		p.addDoubt(Ambiguous, "", "one of "+listed(m.Candidates, m.MoreCandidates))
		return p
	}
	if m.Why == ByName {
		p.addDoubt(NameOnly, "", "only the name is the same")
	}
	if len(m.Rivals) > 0 {
		p.addDoubt(Ambiguous, "", m.StripeID+" may be "+listed(m.Rivals, m.MoreRivals)+" too")
	}
	if m.Conflicting != "" {
		p.addDoubt(Contradiction, "", "another reason points to "+m.Conflicting)
	}
	p.addDoubts(change, held)
	return p
}

// maxNamed is how many ids the detail of a doubt names.
const maxNamed = 20

// listed lists ids: "a, b and 3 more".
func listed(ids []string, more int) string {
	named := ids[:min(len(ids), maxNamed)]
	if more += len(ids) - len(named); more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(named, ", "), more)
	}
	return strings.Join(named, ", ")
}

// addDoubts pairs the prices and collects the doubts about the products themselves.
func (p *Proposal) addDoubts(change *catalogv1.ProductChange, held *catalogv1.Observed) {
	want, have := change.GetProduct(), held.GetProduct()
	if marked := have.GetMetadata()[catalog.ProductMarker]; marked != "" && marked != p.Product &&
		p.StripeID != p.Product {
		p.addDoubt(Marked, "", fmt.Sprintf("metadata %s is %q", catalog.ProductMarker, marked))
	}
	if !have.GetActive() && (want.Active == nil || want.GetActive()) {
		p.addDoubt(Archived, "", "archived in Stripe; it would be unarchived")
	}
	if n := catalog.MetadataKeys(want, p.StripeID); n > catalog.MaxMetadata {
		p.addDoubt(MetadataFull, "",
			fmt.Sprintf("%d metadata keys with the mark; Stripe allows %d", n, catalog.MaxMetadata))
	}
	p.pairPrices(change, held.GetPrices(), have.GetDefaultPrice())
}

func (p *Proposal) addDoubt(d Doubt, price, detail string) {
	p.Reservations = append(p.Reservations, Reservation{d, price, detail})
}

// pairPrices pairs every active catalog price with one of Stripe's active prices without a mark. It prefers the one
// with its lookup key. Otherwise it takes the only one that is equal in all fields that Stripe never changes.
func (p *Proposal) pairPrices(change *catalogv1.ProductChange, held []*catalogv1.ObservedPrice, defaultPrice string) {
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
	for _, want := range activePrices(change) {
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
		if differs, _ := catalog.FixedDifferences(change, want.GetId(), h.GetPrice()); len(differs) > 0 {
			p.Replace = append(p.Replace, want.GetId())
			p.addDoubt(PriceDiffers, want.GetId(),
				fmt.Sprintf("%s of %s differs in %s (%s, not %s): a new price would replace it",
					h.GetStripeId(), want.GetId(), strings.Join(differs, ", "), catalog.FormatPrice(h.GetPrice()),
					catalog.FormatPrice(want)))
		}
		take(want.GetId(), h)
	}
	for _, want := range p.pairAlike(change, open, free, defaultPrice, take) {
		p.Create = append(p.Create, want.GetId())
		if len(free) > 0 {
			p.addDoubt(PriceUnmatched, want.GetId(),
				fmt.Sprintf("%s (%s) does not clearly match any of %s: a new price would be created",
					want.GetId(), catalog.FormatPrice(want), describePrices(free)))
		}
	}
}

// pairAlike pairs prices that match each other and no other price, and returns the rest. The default price goes first.
func (p *Proposal) pairAlike(change *catalogv1.ProductChange, open []*catalogv1.Price, free []*catalogv1.ObservedPrice,
	defaultPrice string, take func(string, *catalogv1.ObservedPrice),
) []*catalogv1.Price {
	fits := func(want *catalogv1.Price, h *catalogv1.ObservedPrice) bool {
		differs, ok := catalog.FixedDifferences(change, want.GetId(), h.GetPrice())
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

func describePrices(prices []*catalogv1.ObservedPrice) string {
	words := make([]string, len(prices))
	for i, p := range prices {
		words[i] = p.GetStripeId() + " (" + catalog.FormatPrice(p.GetPrice()) + ")"
	}
	return strings.Join(words, ", ")
}

// activePrices returns the catalog's active prices, by id.
func activePrices(change *catalogv1.ProductChange) []*catalogv1.Price {
	var out []*catalogv1.Price
	for _, p := range change.GetProduct().GetPrices() {
		if p.Active == nil || p.GetActive() {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b *catalogv1.Price) int { return strings.Compare(a.GetId(), b.GetId()) })
	return out
}
