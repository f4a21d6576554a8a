// Package adoption matches the products that a Stripe account already holds with those of the catalog: by id, metadata,
// lookup keys of prices, or name. It lists the doubts about each match. It proposes, and an operator approves.
//
// The package does no input or output and reads no clock.
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

// Match is a catalog product and the Stripe product, or products, that may be the same.
type Match struct {
	// Product is the catalog's id.
	Product string
	// StripeID is Stripe's id. It is empty if there are several candidates.
	StripeID string
	Why      Why
	// Candidates are Stripe's ids if there are several, in ascending order.
	Candidates []string
	// Rivals are other catalog products that may be the same Stripe product, for a reason at least as strong; in
	// ascending order.
	Rivals []string
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
		if m, ok := x.match(w); ok {
			rank := slices.Index(ranks, m.Why)
			byRank[rank] = append(byRank[rank], &proposal{Match: m, ids: m.stripeIDs()})
		}
	}
	var out []Match
	// Start with the strongest reason: its matches leave weaker reasons fewer candidates, perhaps one.
	for rank, proposals := range byRank {
		for _, p := range proposals {
			p.ids = slices.DeleteFunc(p.ids,
				func(id string) bool { return claims[id] != nil && claims[id].excludes(rank) })
		}
		for _, p := range proposals {
			for _, id := range p.ids {
				claims[id] = claims[id].merge(&claim{rank: rank, by: []string{p.Product}, isSole: len(p.ids) == 1})
			}
		}
		for _, p := range proposals {
			if len(p.ids) > 0 {
				out = append(out, p.withRivals(claims))
			}
		}
	}
	slices.SortFunc(out, func(a, b Match) int { return strings.Compare(a.Product, b.Product) })
	return out
}

var ranks = []Why{ByID, ByMetadata, ByLookupKey, ByName}

// proposal is a match with the remaining candidates.
type proposal struct {
	Match

	ids []string
}

// withRivals returns the match with its rivals. claims are all claims of reasons at least as strong.
func (p *proposal) withRivals(claims map[string]*claim) Match {
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

// claim is the strongest reason for which a Stripe product is proposed, and the catalog products that it is proposed
// for.
type claim struct {
	rank int
	by   []string
	// isSole reports whether it is the only candidate.
	isSole bool
}

func (c *claim) merge(other *claim) *claim {
	switch {
	case c == nil || other.rank < c.rank:
		return other
	case other.rank == c.rank:
		c.by = append(c.by, other.by...)
	}
	return c
}

// excludes reports whether the claim excludes a match by a reason of this rank.
func (c *claim) excludes(rank int) bool { return c.rank < rank && len(c.by) == 1 && c.isSole }

func (m Match) stripeIDs() []string {
	if m.StripeID != "" {
		return []string{m.StripeID}
	}
	return slices.Clone(m.Candidates)
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
	return x
}

// match returns the match by the strongest reason that applies.
func (x *index) match(w Wanted) (m Match, ok bool) {
	for i, values := range [][]string{{w.ID}, {w.ID, w.Value}, w.LookupKeys, {normalizeName(w.Name)}} {
		found := map[string]bool{}
		for _, v := range values {
			for _, id := range x.byReason[i][v] {
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
		case ranks[i] != ByName && m.StripeID != "" && m.Conflicting == "":
			// The first other product counts.
			for _, id := range ids {
				if id != m.StripeID {
					m.Conflicting = id
					break
				}
			}
		}
	}
	return m, ok
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
