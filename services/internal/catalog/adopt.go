package catalog

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
)

// StripeID returns the id under which Stripe holds the product, or would hold it.
func StripeID(o *catalogv1.Observed) string { return cmp.Or(o.GetStripeId(), o.GetProductId()) }

// IsManaged reports whether Driftless has brought the product to a state of the catalog, or adopted it. Before that,
// the product in Stripe may belong to somebody who has not agreed.
func IsManaged(o *catalogv1.Observed) bool { return o.GetVersion() > 0 || o.GetStripeId() != "" }

// Adoption names the objects in Stripe that are to represent a product of the catalog and its prices.
type Adoption struct {
	// StripeID is Stripe's id of the product.
	StripeID string
	// Prices maps the catalog's ids of prices to Stripe's.
	Prices map[string]string
	// MayReplace are the catalog's ids of prices whose Stripe price may be archived and replaced, because it differs in
	// a field that Stripe never changes.
	MayReplace []string
}

// Adopt records in place that objects in Stripe represent objects of the catalog. product and prices are Stripe's state
// as just read. Diff then returns the steps that mark the objects and make them equal.
//
// Adopt returns an error for an operator, and changes nothing, if the adoption is not possible as it stands:
//   - the catalog or Stripe has no such product or price;
//   - one of them is linked to another, or carries another's mark;
//   - a Stripe price is named twice;
//   - the metadata has no room for the mark;
//   - a price differs in a field that Stripe never changes, and is not in MayReplace.
//
// It is no error to repeat a recorded adoption.
func Adopt(o *catalogv1.Observed, change *catalogv1.ProductChange, a Adoption, product ProductSighting,
	prices []PriceSighting,
) error {
	switch {
	case change.GetProduct() == nil:
		return fmt.Errorf("the catalog has no product %s", o.GetProductId())
	case o.GetStripeId() != "" && o.GetStripeId() != a.StripeID:
		return fmt.Errorf("product %s is already linked to %s in Stripe", o.GetProductId(), o.GetStripeId())
	case o.GetStripeId() == "" && o.GetProduct() != nil && o.GetProductId() != a.StripeID:
		return fmt.Errorf("Stripe already has a product with the catalog's id %s", o.GetProductId())
	case product.Product == nil:
		return fmt.Errorf("Stripe has no product %s", a.StripeID)
	}
	if marked := product.Product.GetMetadata()[ProductMarker]; marked != "" && marked != o.GetProductId() {
		return fmt.Errorf("product %s carries the mark of another catalog product: metadata %s is %s", a.StripeID,
			ProductMarker, marked)
	}
	if n := MetadataKeys(change.GetProduct(), a.StripeID); n > MaxMetadata {
		return fmt.Errorf("the product would have %d metadata keys with its mark, and Stripe accepts at most %d", n,
			MaxMetadata)
	}
	if err := adoptable(o, change, a, prices); err != nil {
		return err
	}
	if a.StripeID != o.GetProductId() && o.GetStripeId() == "" {
		// The recorded state belongs to another product in Stripe.
		o.Product, o.ProductUpdated, o.ProductSeen, o.Deleted, o.Prices, o.ManagedMetadata = nil, 0, 0, false, nil, nil
	}
	o.StripeId = a.StripeID
	ObserveAll(o, product, prices)
	for id, stripeID := range a.Prices {
		for _, inStripe := range o.GetPrices() {
			if inStripe.GetStripeId() == stripeID && inStripe.GetPrice().GetId() == "" {
				inStripe.AdoptedAs, inStripe.Price.Id = id, id
			}
		}
	}
	return nil
}

// adoptable returns why the prices of an adoption cannot be adopted, nil if they can.
func adoptable(o *catalogv1.Observed, change *catalogv1.ProductChange, a Adoption, prices []PriceSighting) error {
	taken := map[string]string{}
	for _, id := range slices.Sorted(maps.Keys(a.Prices)) {
		stripeID := a.Prices[id]
		i := slices.IndexFunc(prices, func(s PriceSighting) bool { return s.StripeID == stripeID && s.Price != nil })
		if i < 0 {
			return fmt.Errorf("product %s has no price %s in Stripe", a.StripeID, stripeID)
		}
		if other, twice := taken[stripeID]; twice {
			return fmt.Errorf("price %s is assigned to both %s and %s", stripeID, other, id)
		}
		taken[stripeID] = id
		if marked := prices[i].Price.GetId(); marked != "" && marked != id {
			return fmt.Errorf("price %s carries the mark of another catalog price: metadata %s is %s", stripeID,
				PriceMarker, marked)
		}
		// An adopted price has no mark until push has written it.
		if other := unmarkedAdoption(o, prices[i]); other != "" && other != id {
			return fmt.Errorf("price %s is already adopted as %s", stripeID, other)
		}
		differs, ok := FixedDifferences(change, id, prices[i].Price)
		if !ok {
			return fmt.Errorf("product %s has no active price %s in the catalog", change.GetProductId(), id)
		}
		if len(differs) > 0 && !slices.Contains(a.MayReplace, id) {
			return fmt.Errorf("price %s differs from %s in fields that Stripe never changes (%s): it would be replaced",
				stripeID, id, strings.Join(differs, ", "))
		}
	}
	return nil
}

// unmarkedAdoption returns the catalog's id under which a price was adopted, "" if it was not or carries a mark of its
// own.
func unmarkedAdoption(o *catalogv1.Observed, s PriceSighting) string {
	known := FindPrice(o, s.StripeID)
	if marked := s.Price.GetId(); marked != "" && marked != known.GetCopiedMark() {
		return ""
	}
	return known.GetAdoptedAs()
}

// FixedDifferences returns the fields that keep a Stripe price from becoming the catalog's price of this id, because
// Stripe never changes them. It leaves out fields that the catalog does not manage. ok is false if the desired state
// has no such active price.
func FixedDifferences(change *catalogv1.ProductChange, id string, inStripe *catalogv1.Price) (
	fields []string, ok bool,
) {
	inStripe = CanonicalPrice(inStripe)
	inStripe.Id = id
	d := newDiffer(change, &catalogv1.Observed{
		Product: &catalogv1.Product{},
		Prices:  []*catalogv1.ObservedPrice{{Price: inStripe}},
	})
	for _, want := range d.want.GetPrices() {
		if want = d.leaveUnmanaged(want); want.GetId() == id && want.GetActive() {
			return d.fixedDifferences(d.observedPrices[0].GetPrice(), want), true
		}
	}
	return nil, false
}
