package catalog

import (
	"fmt"
	"slices"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
)

// ImportBlocker returns why a product that only Stripe has cannot be imported as it is known; "" if it can. It must
// have been read together with its prices, since Stripe's events come one by one and in any order.
func ImportBlocker(o *catalogv1.Observed) (why string) {
	byDefault := o.GetProduct().GetDefaultPrice()
	switch {
	case o.GetProduct() == nil:
		return "Stripe holds no such product"
	case !o.GetWhole():
		return "the product and its prices have not been read together yet"
	case byDefault != "" && !FindPrice(o, byDefault).GetPrice().GetActive():
		return fmt.Sprintf("its default price %s is not among its active prices", byDefault)
	default:
		return ""
	}
}

// HasPrices reports whether something is sold at the product.
func HasPrices(o *catalogv1.Observed) bool {
	return slices.ContainsFunc(o.GetPrices(), func(p *catalogv1.ObservedPrice) bool { return p.GetPrice().GetActive() })
}

// ExtraPrices are the active prices of an imported product that the catalog does not have: they were made in Stripe
// since. The differences name them by Stripe's id. There are none for a product that came from the catalog: what others
// sell it at is left alone.
func ExtraPrices(desired *catalogv1.ProductChange, observed *catalogv1.Observed) (extra []Difference) {
	if desired.GetProduct() == nil || observed.GetProduct() == nil || observed.GetVersion() == 0 {
		return nil
	}
	d := newDiffer(desired, observed)
	if !d.imported() {
		return nil
	}
	for _, held := range d.held {
		if held.GetPrice().GetId() == "" && held.GetPrice().GetActive() {
			id := held.GetStripeId()
			extra = append(extra, Difference{
				Kind:   Extra,
				Field:  "prices." + id,
				Price:  id,
				Stripe: describePrice(held.GetPrice()),
			})
		}
	}
	return extra
}

// imported reports whether the product was in Stripe before it was in the catalog: nobody's price there had Driftless's
// mark when Driftless wrote it first, or the catalog calls a price by Stripe's id.
func (d *differ) imported() bool {
	return d.observed.GetFound() || slices.ContainsFunc(d.held, func(h *catalogv1.ObservedPrice) bool {
		return h.GetPrice().GetId() == h.GetStripeId()
	})
}

// othersDefault reports whether Stripe's default price is one that the catalog of an imported product does not have.
// That it wants no default price then says only that it does not know this one yet.
func (d *differ) othersDefault() bool {
	held := d.have.GetDefaultPrice()
	return held != "" && d.imported() && d.priceName(held) == held && d.wanted(held) == nil
}

// RecordFound records, in place, that Stripe held a product before Driftless wrote it, unmarked by Driftless. Push
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

// TakeWithPrices is TakeFromStripe with whole prices among the fields, as ExtraPrices names them. A price that is
// Stripe's default comes with default_price, if the catalog has none and its mapping has the field.
func TakeWithPrices(
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
	product, more := TakeFromStripe(desired, observed, rest)
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

// Import returns a product that is in Stripe only as the catalog would have it. A price of nobody's mark, or of a mark
// that was copied from another price, gets Stripe's id for its own. Archived prices are left out.
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
	for _, held := range observed.GetPrices() {
		price := importPrice(held)
		if !price.GetActive() {
			continue
		}
		if held.GetStripeId() == byDefault {
			p.DefaultPrice = price.GetId()
		}
		p.Prices = append(p.GetPrices(), price)
	}
	return p
}

func importPrice(held *catalogv1.ObservedPrice) *catalogv1.Price {
	price := CanonicalPrice(held.GetPrice())
	for _, key := range ownKeys {
		delete(price.Metadata, key)
	}
	delete(price.CurrencyOptions, price.GetCurrency())
	if price.GetId() == "" {
		price.Id = held.GetStripeId()
	}
	return price
}
