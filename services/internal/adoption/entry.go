package adoption

import (
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// DefaultMetadataKey is the key of metadata that is compared if no other is named.
const DefaultMetadataKey = catalog.ProductMarker

// Entry is one match, which a person approves or not.
type Entry struct {
	// Product is the catalog's id.
	Product string `json:"product"            yaml:"product"`
	// Stripe is Stripe's id of the product.
	Stripe string `json:"stripe"             yaml:"stripe"`
	// Why they match; empty if a person says so.
	Why string `json:"why"                yaml:"why,omitempty"`
	// Prices are Stripe's ids by the catalog's. If nil, the prices are paired by Check.
	Prices map[string]string `json:"prices"             yaml:"prices,omitempty"`
	// Replace are the prices among them that may be replaced.
	Replace []string `json:"replace"            yaml:"replace,omitempty"`
	Doubts  []string `json:"doubts"             yaml:"doubts,omitempty"`
	Approve bool     `json:"approve"            yaml:"approve"`

	// KnowsDoubts means that Doubts are all that the person knew, also if Why is empty.
	KnowsDoubts bool `json:"-" yaml:"-"`
	// Line is the line of the file at which the entry begins. 0 if it is from no file.
	Line int `json:"-" yaml:"-"`
}

// EntryOf returns the entry of a proposal. It is approved if the proposal is certain.
func EntryOf(p Proposal) Entry {
	e := Entry{
		Product: p.Product,
		Stripe:  p.StripeID,
		Why:     string(p.Why),
		Prices:  p.Prices,
		Replace: p.Replace,
		Doubts:  p.Doubts(),
		Approve: p.IsCertain(),
	}
	if p.StripeID == "" {
		e.Prices = nil
	}
	return e
}

// Pair is the current state of the two products of an entry.
type Pair struct {
	// Change is the desired state of the catalog's product, and Observed what is known of it in Stripe. Both are nil if
	// nothing is known.
	Change   *catalogv1.ProductChange
	Observed *catalogv1.Observed
	// Held is what Stripe holds of the other product. It is nil if nothing is known of it.
	Held *catalogv1.Observed
	// IsTaken reports whether the catalog has, or had, a product with the id of Stripe's product.
	IsTaken bool
}

// Checked is what has become of an entry.
type Checked struct {
	// Order is push's command for the entry.
	Order *meshv1.Adopt
	// IsDone reports that it was carried out before.
	IsDone bool
	// Proposal has the prices and the doubts as they are now.
	Proposal Proposal
}

// Check compares an entry with the current state of both sides. It returns an error if the entry must not be carried
// out: it is wrong, or it has a doubt that was unknown when it was approved. metadataKey is the key that was compared.
func Check(e Entry, metadataKey string, now Pair) (Checked, error) {
	out := Checked{Order: &meshv1.Adopt{
		ProductId: e.Product, StripeId: e.Stripe, Prices: e.Prices, Replace: e.Replace,
	}}
	switch {
	case e.Stripe == "":
		return out, errors.New("set stripe to the id of its product in Stripe")
	case now.Observed.GetStripeId() == e.Stripe:
		out.IsDone = true
		return out, nil
	case now.IsTaken && e.Stripe != e.Product:
		return out, errors.New("the catalog has, or had, a product with the id " + e.Stripe)
	}
	match := Match{Product: e.Product, StripeID: e.Stripe, Why: Why(e.Why)}
	if e.Why != "" && !StillApplies(match, WantedOf(now.Change, metadataKey), ExistingOf(now.Held, metadataKey)) {
		return out, fmt.Errorf("it no longer matches %s by %s", e.Stripe, e.Why)
	}
	out.Proposal = Propose(match, now.Change, now.Held)
	if err := out.agree(e); err != nil {
		return out, err
	}
	return out, now.adopt(out.Order)
}

// agree pairs the prices if the entry has none, and returns an error for a doubt that the entry does not know.
func (c *Checked) agree(e Entry) error {
	if e.Prices == nil {
		c.Order.Prices, c.Order.Replace = c.Proposal.Prices, nil
		for _, r := range c.Proposal.Reservations {
			if r.Price != "" {
				return errors.New(r.Detail +
					"; set the prices that are adopted (prices: {the catalog's id: Stripe's id}; {} for none)")
			}
		}
		return nil
	}
	if e.Why == "" && !e.KnowsDoubts {
		return nil
	}
	for _, r := range c.Proposal.Reservations {
		if r.Doubt != Ambiguous && !slices.Contains(e.Doubts, r.String()) {
			return errors.New("unknown at the time of approval: " + r.Detail)
		}
	}
	return nil
}

// adopt returns why push would refuse an adoption now.
func (now Pair) adopt(order *meshv1.Adopt) error {
	observed := now.Observed
	if observed == nil {
		observed = &catalogv1.Observed{ProductId: order.GetProductId()}
	}
	var prices []catalog.PriceSighting
	for _, p := range now.Held.GetPrices() {
		prices = append(prices, catalog.PriceSighting{
			StripeID: p.GetStripeId(),
			Price:    p.GetPrice(),
			Created:  p.GetCreated(),
			Seen:     p.GetSeen(),
		})
	}
	sighting := catalog.ProductSighting{
		Product: now.Held.GetProduct(),
		Seen:    now.Held.GetProductSeen(),
		Updated: now.Held.GetProductUpdated(),
	}
	return catalog.Adopt(proto.CloneOf(observed), now.Change,
		catalog.Adoption{StripeID: order.GetStripeId(), Prices: order.GetPrices(), MayReplace: order.GetReplace()},
		sighting, prices)
}

// Replacements returns the prices of a pairing that differ in a field that Stripe never changes, in ascending order. A
// new price would replace each of them.
func Replacements(change *catalogv1.ProductChange, held *catalogv1.Observed, prices map[string]string) []string {
	var out []string
	for _, h := range held.GetPrices() {
		for id, stripe := range prices {
			if stripe != h.GetStripeId() {
				continue
			}
			if differs, ok := catalog.FixedDifferences(change, id, h.GetPrice()); ok && len(differs) > 0 {
				out = append(out, id)
			}
		}
	}
	slices.Sort(out)
	return out
}

// Creations returns the active prices of the catalog that have neither a price in a pairing nor one with their mark, in
// ascending order. A new price would be created for each of them.
func Creations(change *catalogv1.ProductChange, held *catalogv1.Observed, prices map[string]string) []string {
	marked := map[string]bool{}
	for _, h := range held.GetPrices() {
		if h.GetAdoptedAs() == "" {
			marked[h.GetPrice().GetId()] = true
		}
	}
	var out []string
	for _, p := range activePrices(change) {
		if prices[p.GetId()] == "" && !marked[p.GetId()] {
			out = append(out, p.GetId())
		}
	}
	return out
}
