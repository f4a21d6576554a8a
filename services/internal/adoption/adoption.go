// Package adoption matches the products that a Stripe account already holds with those of the catalog: by id, metadata,
// lookup keys of prices, or name. It lists the doubts about each match. It proposes, and an operator approves.
//
// The package does no input or output and reads no clock.
package adoption

import (
	"slices"
	"strings"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// Wanted is the matching data of a catalog product that is not yet linked to a Stripe product.
type Wanted struct {
	ID string
	// Value is the product's value under the metadata key that is compared. It is empty if there is none.
	Value string
	// LookupKeys are those of its active prices, as they would be in Stripe.
	LookupKeys []string
	Name       string
}

// Existing is the matching data of a Stripe product that is not linked to a catalog product.
type Existing struct {
	ID string
	// Value is the product's value under the metadata key that is compared. It is empty if there is none.
	Value string
	// LookupKeys are those of its active prices.
	LookupKeys []string
	Name       string
}

// Why is the reason for a match.
type Why string

// The reasons, the strongest first.
const (
	// ByID means that both products have the same id.
	ByID Why = "id"
	// ByMetadata means that Stripe's metadata names the catalog's product, or has the same value under the compared
	// key.
	ByMetadata Why = "metadata"
	// ByLookupKey means that a price of Stripe's product has the lookup key of a price in the catalog's product.
	ByLookupKey Why = "lookup_key"
	// ByName means that both have the same name, apart from case, spaces and punctuation.
	ByName Why = "name"
)

// A match lists at most so many candidates and rivals: thousands of products may have the same name. Matches share
// their lists of candidates.
const (
	maxCandidates = 100
	maxRivals     = 20
)

// Match is a catalog product and the Stripe product, or products, that may be the same.
type Match struct {
	// Product is the catalog's id.
	Product string
	// StripeID is Stripe's id. It is empty if there are several candidates.
	StripeID string
	Why      Why
	// Candidates are Stripe's ids if there are several, in ascending order, at most 100. MoreCandidates counts those
	// that are left out.
	Candidates     []string
	MoreCandidates int
	// Rivals are other catalog products that may be the same Stripe product, for a reason at least as strong; in
	// ascending order, at most 20. MoreRivals counts those that are left out.
	Rivals     []string
	MoreRivals int
	// Conflicting is another Stripe product that a weaker reason than Why, except the name, points to.
	Conflicting string
}

// IsCertain reports whether the match needs no decision. Its prices may still be doubtful: see Proposal.IsCertain.
func (m Match) IsCertain() bool {
	return m.StripeID != "" && m.Why != ByName && len(m.Rivals) == 0 && m.Conflicting == ""
}

// Matches proposes at most one match for every catalog product, in ascending order of its id. It proposes at most one
// certain match for every Stripe product. A Stripe product that a stronger reason gives to one catalog product alone is
// not proposed for another. The order of the arguments does not matter. Their ids must be unique.
func Matches(wanted []Wanted, held []Existing) []Match {
	x := newIndex(held)
	claims := map[string]*claim{}
	byRank := make([][]*proposal, len(ranks))
	for _, w := range wanted {
		if p, ok := x.match(w); ok {
			rank := slices.Index(ranks, p.Why)
			byRank[rank] = append(byRank[rank], p)
		}
	}
	var out []Match
	// Start with the strongest reason: its matches leave weaker reasons fewer candidates, perhaps one.
	for rank, proposals := range byRank {
		groups := groupsOf(proposals)
		for _, g := range groups {
			g.ids = slices.DeleteFunc(slices.Clone(g.ids),
				func(id string) bool { return claims[id] != nil && claims[id].excludes(rank) })
			for _, id := range g.ids {
				claims[id] = claims[id].merge(rank, g)
			}
		}
		for _, g := range groups {
			for _, p := range g.proposals {
				if len(g.ids) > 0 {
					out = append(out, g.match(p, claims))
				}
			}
		}
	}
	slices.SortFunc(out, func(a, b Match) int { return strings.Compare(a.Product, b.Product) })
	return out
}

var ranks = []Why{ByID, ByMetadata, ByLookupKey, ByName}

// proposal is a match without its candidates.
type proposal struct {
	Match

	// ids are the candidates. Proposals that rest on the same value share them.
	ids []string
}

// group is proposals of a reason that share their candidates. Thousands of products on both sides may have the same
// name, so nothing is kept for each pair of them.
type group struct {
	proposals []*proposal
	ids       []string
}

// groupsOf groups proposals by their candidates.
func groupsOf(proposals []*proposal) (out []*group) {
	byFirst := map[*string]*group{}
	for _, p := range proposals {
		// The index has one list for each value, so the address of its first element stands for the list.
		first := &p.ids[0]
		if byFirst[first] == nil {
			byFirst[first] = &group{ids: p.ids}
			out = append(out, byFirst[first])
		}
		byFirst[first].proposals = append(byFirst[first].proposals, p)
	}
	return out
}

// match returns the match of a proposal with its candidates and rivals. claims are all claims of reasons at least as
// strong.
func (g *group) match(p *proposal, claims map[string]*claim) Match {
	m := p.Match
	if len(g.ids) > 1 {
		m.Candidates = g.ids[:min(len(g.ids), maxCandidates)]
		m.MoreCandidates = len(g.ids) - len(m.Candidates)
		return m
	}
	m.StripeID = g.ids[0]
	rivals := claims[m.StripeID].products()
	others := len(rivals)
	// A claim with a stronger reason does not have the product itself.
	if _, isAmong := slices.BinarySearch(rivals, m.Product); isAmong {
		others--
	}
	if others > 0 {
		m.Rivals = make([]string, 0, min(others, maxRivals))
	}
	for _, id := range rivals {
		if len(m.Rivals) == cap(m.Rivals) {
			break
		}
		if id != m.Product {
			m.Rivals = append(m.Rivals, id)
		}
	}
	m.MoreRivals = others - len(m.Rivals)
	return m
}

// claim is the strongest reason for which a Stripe product is proposed, and the groups of catalog products that it is
// proposed for.
type claim struct {
	rank   int
	groups []*group
	// sorted are the catalog products. It is nil until products is called.
	sorted []string
}

func (c *claim) merge(rank int, g *group) *claim {
	switch {
	case c == nil || rank < c.rank:
		return &claim{rank: rank, groups: []*group{g}}
	case rank == c.rank:
		c.groups = append(c.groups, g)
	}
	return c
}

// products returns the ids of the catalog products in ascending order.
func (c *claim) products() []string {
	if c.sorted == nil {
		for _, g := range c.groups {
			for _, p := range g.proposals {
				c.sorted = append(c.sorted, p.Product)
			}
		}
		slices.Sort(c.sorted)
	}
	return c.sorted
}

// excludes reports whether the claim excludes a match by a reason of this rank: a stronger one gives the Stripe product
// to one catalog product alone.
func (c *claim) excludes(rank int) bool {
	return c.rank < rank && len(c.groups) == 1 && len(c.groups[0].proposals) == 1 && len(c.groups[0].ids) == 1
}

// index finds Stripe products by each kind of matching data.
type index struct{ byReason [4]map[string][]string }

func newIndex(held []Existing) *index {
	x := &index{}
	for i := range x.byReason {
		x.byReason[i] = map[string][]string{}
	}
	for _, h := range held {
		for rank, values := range [][]string{{h.ID}, {h.Value}, h.LookupKeys, {normalizeName(h.Name)}} {
			for _, v := range values {
				if v != "" {
					x.byReason[rank][v] = append(x.byReason[rank][v], h.ID)
				}
			}
		}
	}
	for _, lists := range x.byReason {
		for v, ids := range lists {
			slices.Sort(ids)
			lists[v] = slices.Compact(ids)
		}
	}
	return x
}

// match returns the match by the strongest reason that applies.
func (x *index) match(w Wanted) (p *proposal, ok bool) {
	for i, values := range [][]string{{w.ID}, {w.ID, w.Value}, w.LookupKeys, {normalizeName(w.Name)}} {
		switch ids := x.find(i, values); {
		case len(ids) == 0:
		case p == nil:
			p = &proposal{Match: Match{Product: w.ID, Why: ranks[i]}, ids: ids}
		case ranks[i] != ByName && len(p.ids) == 1 && p.Conflicting == "":
			// The first other product counts.
			for _, id := range ids {
				if id != p.ids[0] {
					p.Conflicting = id
					break
				}
			}
		}
	}
	return p, p != nil
}

// find returns the Stripe products that have one of the values, in ascending order. It returns the list of the index if
// only one of the values is known.
func (x *index) find(rank int, values []string) []string {
	var ids []string
	found := 0
	for _, v := range values {
		list := x.byReason[rank][v]
		if len(list) == 0 || found > 0 && &list[0] == &ids[0] {
			continue
		}
		if found++; found == 1 {
			ids = list
		} else {
			ids = slices.Concat(ids, list)
		}
	}
	if found > 1 {
		slices.Sort(ids)
		ids = slices.Compact(ids)
	}
	return ids
}

// normalizeName returns a name without differences in case, spaces, punctuation and the encoding of accents.
func normalizeName(name string) string {
	folded := cases.Fold().String(norm.NFKC.String(name))
	return strings.Join(strings.FieldsFunc(folded, func(r rune) bool {
		return strings.ContainsRune(" \t\u00a0-_.,:;!?/\\|()[]{}'\"’‘“”®™©", r)
	}), " ")
}

// WantedOf returns the matching data of a desired state.
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

// ExistingOf returns the matching data of an observed state.
func ExistingOf(o *catalogv1.Observed, metadataKey string) Existing {
	h := Existing{
		ID:    catalog.StripeID(o),
		Name:  o.GetProduct().GetName(),
		Value: o.GetProduct().GetMetadata()[metadataKey],
	}
	for _, price := range o.GetPrices() {
		if key := price.GetPrice().GetLookupKey(); key != "" && price.GetPrice().GetActive() {
			h.LookupKeys = append(h.LookupKeys, key)
		}
	}
	return h
}

// StillApplies reports whether the reason of a match, or a stronger one, still applies.
func StillApplies(m Match, w Wanted, h Existing) bool {
	found, ok := newIndex([]Existing{h}).match(w)
	return ok && slices.Index(ranks, found.Why) <= slices.Index(ranks, m.Why)
}
