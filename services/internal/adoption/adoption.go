// Package adoption finds out which of the products that a Stripe account holds already are meant by the catalog's: by
// id, metadata, lookup keys of prices, or name, each with the doubts there are. It proposes; an operator approves.
//
// Nothing here does input or output or reads a clock.
package adoption

import (
	"maps"
	"slices"
	"strings"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// Wanted is what is compared of a product of the catalog of which Stripe holds nothing that is known as its own.
type Wanted struct {
	ID string
	// Value of the catalog's product under the key of metadata that is compared; empty if it has none.
	Value string
	// LookupKeys of its active prices, as they would be in Stripe.
	LookupKeys []string
	Name       string
}

// Held is what is compared of a product of Stripe's that stands for none of the catalog's.
type Held struct {
	ID string
	// Value under the key of metadata that is compared; empty if it has none.
	Value string
	// LookupKeys of its active prices.
	LookupKeys []string
	Name       string
}

// Why a product of Stripe's is thought to be one of the catalog's, the strongest reason first.
type Why string

// The reasons.
const (
	// ByID: they have one id.
	ByID Why = "id"
	// ByMetadata: Stripe's metadata names the catalog's product, or has the value that it has under the same key.
	ByMetadata Why = "metadata"
	// ByLookupKey: a price of Stripe's product has the lookup key of one of the catalog's.
	ByLookupKey Why = "lookup_key"
	// ByName: they have one name, but for case, spaces and punctuation.
	ByName Why = "name"
)

// Match is what is thought to be one product.
type Match struct {
	// Product is the catalog's id.
	Product string
	// StripeID is empty if several come into question.
	StripeID string
	Why      Why
	// Candidates are Stripe's ids, if there are several; in ascending order.
	Candidates []string
	// Rivals are other products of the catalog for which the same one of Stripe's comes into question, by a reason as
	// strong or stronger; in ascending order.
	Rivals []string
	// Contrary is a product of Stripe's that a weaker reason than Why, but not the name, speaks for.
	Contrary string
}

// Certain says whether nothing about the match is doubtful but, perhaps, what the products are.
func (m Match) Certain() bool {
	return m.StripeID != "" && m.Why != ByName && len(m.Rivals) == 0 && m.Contrary == ""
}

// Matches proposes at most one match for every product of the catalog, in ascending order of its id, and at most one
// that is certain for every product of Stripe's. A product of Stripe's that a stronger reason gives to one product
// alone is not proposed for another. The order of its arguments, whose ids must be unique, does not matter.
func Matches(wanted []Wanted, held []Held) []Match {
	x := newIndex(held)
	claims := map[string]*claim{}
	byRank := make([][]*proposal, len(ranks))
	for _, w := range wanted {
		if m, ok := x.match(w); ok {
			rank := slices.Index(ranks, m.Why)
			byRank[rank] = append(byRank[rank], &proposal{Match: m, ids: m.stripeIDs()})
		}
	}
	var out []Match
	// The strongest reasons first: what they settle leaves weaker ones fewer candidates, perhaps one.
	for rank, proposals := range byRank {
		for _, p := range proposals {
			p.ids = slices.DeleteFunc(p.ids,
				func(id string) bool { return claims[id] != nil && claims[id].settles(rank) })
		}
		for _, p := range proposals {
			for _, id := range p.ids {
				claims[id] = claims[id].or(&claim{rank: rank, by: []string{p.Product}, sole: len(p.ids) == 1})
			}
		}
		for _, p := range proposals {
			if len(p.ids) > 0 {
				out = append(out, p.among(claims))
			}
		}
	}
	slices.SortFunc(out, func(a, b Match) int { return strings.Compare(a.Product, b.Product) })
	return out
}

var ranks = []Why{ByID, ByMetadata, ByLookupKey, ByName}

// proposal is a match with those of Stripe's products that still come into question.
type proposal struct {
	Match

	ids []string
}

// among is the match, with its rivals among all claims of reasons as strong or stronger.
func (p *proposal) among(claims map[string]*claim) Match {
	m := p.Match
	m.StripeID, m.Candidates = "", p.ids
	if len(p.ids) == 1 {
		m.StripeID, m.Candidates = p.ids[0], nil
		m.Rivals = slices.DeleteFunc(slices.Clone(claims[m.StripeID].by),
			func(id string) bool { return id == m.Product })
		slices.Sort(m.Rivals)
	}
	return m
}

// claim is the strongest reason for which a product of Stripe's is proposed, and for whom.
type claim struct {
	rank int
	by   []string
	// sole: no other product of Stripe's comes into question.
	sole bool
}

func (c *claim) or(other *claim) *claim {
	switch {
	case c == nil || other.rank < c.rank:
		return other
	case other.rank == c.rank:
		c.by = append(c.by, other.by...)
	}
	return c
}

// settles says whether the product is another's beyond the doubt that a reason of this rank could raise.
func (c *claim) settles(rank int) bool { return c.rank < rank && len(c.by) == 1 && c.sole }

func (m Match) stripeIDs() []string {
	if m.StripeID != "" {
		return []string{m.StripeID}
	}
	return slices.Clone(m.Candidates)
}

// index finds products of Stripe's by what they are compared by.
type index struct{ by [4]map[string][]string }

func newIndex(held []Held) *index {
	x := &index{}
	for i := range x.by {
		x.by[i] = map[string][]string{}
	}
	for _, h := range held {
		for rank, values := range [][]string{{h.ID}, {h.Value}, h.LookupKeys, {normal(h.Name)}} {
			for _, v := range values {
				if v != "" {
					x.by[rank][v] = append(x.by[rank][v], h.ID)
				}
			}
		}
	}
	return x
}

// match finds what the strongest reason that there is speaks for.
func (x *index) match(w Wanted) (m Match, ok bool) {
	for i, values := range [][]string{{w.ID}, {w.ID, w.Value}, w.LookupKeys, {normal(w.Name)}} {
		found := map[string]bool{}
		for _, v := range values {
			for _, id := range x.by[i][v] {
				found[id] = true
			}
		}
		switch ids := slices.Sorted(maps.Keys(found)); {
		case len(ids) == 0:
		case !ok:
			ok = true
			m = Match{Product: w.ID, Why: ranks[i]}
			if len(ids) == 1 {
				m.StripeID = ids[0]
			} else {
				m.Candidates = ids
			}
		case ranks[i] != ByName && m.StripeID != "" && m.Contrary == "":
			// The first that is another one.
			for _, id := range ids {
				if id != m.StripeID {
					m.Contrary = id
					break
				}
			}
		}
	}
	return m, ok
}

// normal writes names alike that differ in case, spaces, punctuation or the spelling of accents only.
func normal(name string) string {
	folded := cases.Fold().String(norm.NFKC.String(name))
	return strings.Join(strings.FieldsFunc(folded, func(r rune) bool {
		return strings.ContainsRune(" \t\u00a0-_.,:;!?/\\|()[]{}'\"’‘“”®™©", r)
	}), " ")
}

// WantedOf takes what is compared from a desired state.
func WantedOf(change *catalogv1.ProductChange, metadataKey string) Wanted {
	p := change.GetProduct()
	w := Wanted{ID: change.GetProductId(), Name: p.GetName(), Value: p.GetMetadata()[metadataKey]}
	for _, price := range p.GetPrices() {
		if price.Active == nil || price.GetActive() {
			w.LookupKeys = append(w.LookupKeys, catalog.LookupKey(price))
		}
	}
	return w
}

// HeldOf takes what is compared from what Stripe holds.
func HeldOf(o *catalogv1.Observed, metadataKey string) Held {
	h := Held{ID: catalog.StripeID(o), Name: o.GetProduct().GetName(), Value: o.GetProduct().GetMetadata()[metadataKey]}
	for _, price := range o.GetPrices() {
		if key := price.GetPrice().GetLookupKey(); key != "" && price.GetPrice().GetActive() {
			h.LookupKeys = append(h.LookupKeys, key)
		}
	}
	return h
}

// Holds says whether the reason of a match still speaks for it, or a stronger one.
func Holds(m Match, w Wanted, h Held) bool {
	found, ok := newIndex([]Held{h}).match(w)
	return ok && slices.Index(ranks, found.Why) <= slices.Index(ranks, m.Why)
}
