package describe

import (
	"cmp"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// The verbs of a change between two states of one side.
const (
	Added   = "added"
	Changed = "changed"
	Removed = "removed"
)

// StateChanges returns what makes one state of a product another: the product first, then its prices. A nil state means
// that there is no product.
func StateChanges(before, after *catalogv1.Product) []*controlv1.StateChange {
	product := &controlv1.StateChange{Verb: Verb(before, after), Before: before.GetName(), After: after.GetName()}
	var prices []*controlv1.StateChange
	for _, c := range catalog.Changes(before, after) {
		field := &controlv1.FieldChange{Field: c.Field, Old: c.Old, New: c.New}
		was, is, name := priceOf(before, after, c.Field)
		if was == nil && is == nil {
			product.Fields = append(product.Fields, field)
			continue
		}
		id := was.GetId() + is.GetId()
		if was != nil && is != nil {
			id = is.GetId()
		}
		if len(prices) == 0 || prices[len(prices)-1].GetPriceId() != id {
			prices = append(prices, priceChange(id, was, is))
		}
		if name != "" {
			field.Field = name
			prices[len(prices)-1].Fields = append(prices[len(prices)-1].Fields, field)
		}
	}
	if product.GetVerb() == Changed && len(product.GetFields()) == 0 {
		return prices
	}
	return append([]*controlv1.StateChange{product}, prices...)
}

// Verb returns what became of a product between two states.
func Verb(before, after *catalogv1.Product) string {
	switch {
	case before == nil:
		return Added
	case after == nil:
		return Removed
	default:
		return Changed
	}
}

func priceChange(id string, was, is *catalogv1.Price) *controlv1.StateChange {
	out := &controlv1.StateChange{Verb: Changed, PriceId: id}
	switch {
	case was == nil:
		out.Verb, out.After = Added, wholePrice(is)
	case is == nil:
		out.Verb, out.Before = Removed, wholePrice(was)
	default:
		out.Before, out.After = catalog.FormatPrice(was), catalog.FormatPrice(is)
	}
	return out
}

// wholePrice describes a price without its fields.
func wholePrice(p *catalogv1.Price) string {
	if p.Active != nil && !p.GetActive() {
		return catalog.FormatPrice(p) + ", archived"
	}
	return catalog.FormatPrice(p)
}

// priceOf returns the price that a field belongs to, in both states, and the field's name within the price. The name is
// empty for the price as a whole. An id may have dots, so the longest id that fits counts.
func priceOf(before, after *catalogv1.Product, field string) (was, is *catalogv1.Price, name string) {
	path, ok := strings.CutPrefix(field, "prices.")
	if !ok {
		return nil, nil, ""
	}
	longest := ""
	for _, p := range append(append([]*catalogv1.Price{}, before.GetPrices()...), after.GetPrices()...) {
		rest, ok := strings.CutPrefix(path, p.GetId())
		if ok && len(p.GetId()) >= len(longest) && (rest == "" || rest[0] == '.') {
			longest, name = p.GetId(), strings.TrimPrefix(rest, ".")
		}
	}
	return findPrice(before, longest), findPrice(after, longest), name
}

func findPrice(p *catalogv1.Product, id string) *catalogv1.Price {
	for _, price := range p.GetPrices() {
		if price.GetId() == id {
			return price
		}
	}
	return nil
}

// ObservedChanges is StateChanges for two states of Stripe. Prices are those of Stripe: the catalog's price may have
// several there, one of them active.
func ObservedChanges(before, after *catalogv1.Observed) []*controlv1.StateChange {
	names := map[string]string{}
	changes := StateChanges(observedProduct(before, names), observedProduct(after, names))
	for _, c := range changes {
		if c.GetPriceId() != "" {
			c.StripePriceId, c.PriceId = c.GetPriceId(), names[c.GetPriceId()]
		}
	}
	// Stripe's ids have no order. The price that goes comes before the one that takes its place.
	slices.SortStableFunc(changes, func(a, b *controlv1.StateChange) int {
		return cmp.Or(strings.Compare(a.GetPriceId(), b.GetPriceId()), isAdded(a)-isAdded(b))
	})
	return changes
}

func isAdded(c *controlv1.StateChange) int {
	if c.GetVerb() == Added {
		return 1
	}
	return 0
}

// observedProduct returns Stripe's product with its prices under Stripe's ids, and notes the catalog's id of each.
func observedProduct(o *catalogv1.Observed, names map[string]string) *catalogv1.Product {
	if o.GetProduct() == nil {
		return nil
	}
	out := proto.CloneOf(o.GetProduct())
	out.Prices = nil
	for _, held := range o.GetPrices() {
		price := proto.CloneOf(held.GetPrice())
		if price == nil {
			continue
		}
		names[held.GetStripeId()] = price.GetId()
		price.Id = held.GetStripeId()
		out.Prices = append(out.Prices, price)
	}
	return out
}
