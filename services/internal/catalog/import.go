package catalog

import (
	"fmt"
	"slices"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
)

// ImportBlocker returns why a product that only Stripe has cannot be imported yet, or "" if it can. The product must
// have been read together with its prices, since Stripe's events arrive one by one and in any order.
func ImportBlocker(o *catalogv1.Observed) (why string) {
	byDefault := o.GetProduct().GetDefaultPrice()
	switch {
	case o.GetProduct() == nil:
		return "Stripe has no such product"
	case !o.GetWhole():
		return "the product and its prices have not been read together yet"
	case byDefault != "" && !FindPrice(o, byDefault).GetPrice().GetActive():
		return fmt.Sprintf("its default price %s is not among its active prices", byDefault)
	default:
		return ""
	}
}

// HasPrices reports whether the product has an active price.
func HasPrices(o *catalogv1.Observed) bool {
	return slices.ContainsFunc(o.GetPrices(), func(p *catalogv1.ObservedPrice) bool { return p.GetPrice().GetActive() })
}

// ExtraPrices returns the active prices of an imported product that the catalog does not have, because they were made
// in Stripe later. The differences name them by Stripe's id. A product that came from the catalog has none: Driftless
// leaves the prices of others on it alone.
func ExtraPrices(desired *catalogv1.ProductChange, observed *catalogv1.Observed) (extra []Difference) {
	if desired.GetProduct() == nil || observed.GetProduct() == nil || observed.GetVersion() == 0 {
		return nil
	}
	d := newDiffer(desired, observed)
	if !d.isImported() {
		return nil
	}
	for _, inStripe := range d.observedPrices {
		if inStripe.GetPrice().GetId() == "" && inStripe.GetPrice().GetActive() {
			id := inStripe.GetStripeId()
			extra = append(extra, Difference{
				Kind:   Extra,
				Field:  "prices." + id,
				Price:  id,
				Stripe: describePrice(inStripe.GetPrice()),
			})
		}
	}
	return extra
}

// isImported reports whether the product was in Stripe before it was in the catalog. Either no price of it had
// Driftless's mark when Driftless wrote it first, or the catalog calls a price by Stripe's id.
func (d *differ) isImported() bool {
	return d.observed.GetFound() || slices.ContainsFunc(d.observedPrices, func(h *catalogv1.ObservedPrice) bool {
		return h.GetPrice().GetId() == h.GetStripeId()
	})
}

// hasForeignDefault reports whether the catalog of an imported product does not have Stripe's default price. If the
// catalog then wants no default price, it only does not know this price yet.
func (d *differ) hasForeignDefault() bool {
	inStripe := d.have.GetDefaultPrice()
	return inStripe != "" && d.isImported() && d.priceName(inStripe) == inStripe && d.wantedPrice(inStripe) == nil
}

// RecordFound records in place that Stripe held a product, without Driftless's mark, before Driftless wrote it. Push
// calls it in the write that plans a pass.
func RecordFound(o *catalogv1.Observed, desired *catalogv1.ProductChange) {
	_, marked := o.GetProduct().GetMetadata()[ProductMarker]
	written := o.GetVersion() > 0 || o.GetStripeId() != "" || len(o.GetIntents()) > 0
	if desired.GetProduct() == nil || o.GetProduct() == nil || written || marked {
		return
	}
	o.Found = !slices.ContainsFunc(o.GetPrices(), func(p *catalogv1.ObservedPrice) bool {
		return p.GetPrice().GetId() != ""
	})
}

// ApplyWriteBackWithPrices is ApplyWriteBack that also accepts whole prices among the fields, as ExtraPrices names
// them. It also sets default_price if one of these prices is Stripe's default, the catalog has none, and the mapping
// has the field.
func ApplyWriteBackWithPrices(
	desired *catalogv1.ProductChange, observed *catalogv1.Observed, fields []string,
) (product *catalogv1.Product, taken []string) {
	var whole []*catalogv1.Price
	rest := slices.Clone(fields)
	extra := ExtraPrices(desired, observed)
	for _, price := range Import(observed).GetPrices() {
		field := "prices." + price.GetId()
		isExtra := slices.ContainsFunc(extra, func(x Difference) bool { return x.Field == field })
		if !isExtra || !slices.Contains(fields, field) {
			continue
		}
		whole, taken = append(whole, price), append(taken, field)
		rest = slices.DeleteFunc(rest, func(f string) bool { return f == field })
	}
	product, more := ApplyWriteBack(desired, observed, rest)
	if product == nil {
		return nil, nil
	}
	taken = append(taken, more...)
	product.Prices = append(product.GetPrices(), whole...)
	byDefault := observed.GetProduct().GetDefaultPrice()
	if product.GetDefaultPrice() == "" && !slices.Contains(desired.GetUnmanagedFields(), "default_price") &&
		slices.ContainsFunc(whole, func(p *catalogv1.Price) bool { return p.GetId() == byDefault }) {
		product.DefaultPrice = byDefault
		taken = append(taken, "default_price")
	}
	return product, taken
}

// Import returns a product that is only in Stripe as the catalog would have it. A price without a mark, or with a mark
// that was copied from another price, gets Stripe's id as its id. Archived prices are left out.
func Import(observed *catalogv1.Observed) *catalogv1.Product {
	p := Canonical(observed.GetProduct())
	if p == nil {
		return nil
	}
	p.Id = observed.GetProductId()
	for _, key := range ownKeys {
		delete(p.Metadata, key)
	}
	byDefault := p.GetDefaultPrice()
	p.DefaultPrice = ""
	for _, inStripe := range observed.GetPrices() {
		price := importPrice(inStripe)
		if !price.GetActive() {
			continue
		}
		if inStripe.GetStripeId() == byDefault {
			p.DefaultPrice = price.GetId()
		}
		p.Prices = append(p.GetPrices(), price)
	}
	return p
}

func importPrice(inStripe *catalogv1.ObservedPrice) *catalogv1.Price {
	price := CanonicalPrice(inStripe.GetPrice())
	for _, key := range ownKeys {
		delete(price.Metadata, key)
	}
	delete(price.CurrencyOptions, price.GetCurrency())
	if price.GetId() == "" {
		price.Id = inStripe.GetStripeId()
	}
	return price
}
