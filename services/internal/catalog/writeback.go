package catalog

import (
	"strings"

	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
)

// ApplyWriteBack returns the desired state with Stripe's values for the given fields, which are named as in
// differences. taken are the fields that the catalog can have; structures of prices and whole objects are not among
// them. The product is nil if one of the sides has no such product.
func ApplyWriteBack(desired *catalogv1.ProductChange, observed *catalogv1.Observed,
	fields []string,
) (product *catalogv1.Product, taken []string) {
	if desired.GetProduct() == nil || observed.GetProduct() == nil {
		return nil, nil
	}
	d := newDiffer(desired, observed)
	product = proto.CloneOf(desired.GetProduct())
	for _, field := range fields {
		if d.copyFromStripe(product, field) {
			taken = append(taken, field)
		}
	}
	return product, taken
}

func (d *differ) copyFromStripe(p *catalogv1.Product, field string) bool {
	switch key, ofMetadata := strings.CutPrefix(field, "metadata."); {
	case ofMetadata:
		p.Metadata = copyKey(p.GetMetadata(), d.have.GetMetadata(), key)
		return true
	case field == "default_price":
		id := d.priceName(d.have.GetDefaultPrice())
		if id != "" && d.wantedPrice(id) == nil {
			return false
		}
		p.DefaultPrice = id
		return true
	case isProductField(field):
		setProduct(p, field, d.have)
		return true
	}
	for _, price := range p.GetPrices() {
		name, ok := strings.CutPrefix(field, "prices."+price.GetId()+".")
		held := d.predecessor(price.GetId())
		if !ok || held == nil {
			continue
		}
		if currency, ok := strings.CutPrefix(name, "currency_options."); ok && currency != "" {
			name = "currency_options"
		}
		if key, ok := strings.CutPrefix(name, "metadata."); ok {
			price.Metadata = copyKey(price.GetMetadata(), held.GetPrice().GetMetadata(), key)
			return true
		}
		if isPriceField(name) {
			setPrice(price, name, held.GetPrice())
			return true
		}
	}
	return false
}

func copyKey(into, from map[string]string, key string) map[string]string {
	value, ok := from[key]
	if !ok {
		delete(into, key)
		return into
	}
	if into == nil {
		into = map[string]string{}
	}
	into[key] = value
	return into
}

// isProductField reports whether a field of a product can be copied by itself.
func isProductField(name string) bool {
	f, ok := findField(productTable, name)
	return ok && f.Ownable
}

// isPriceField reports whether a field of a price can be copied by itself.
func isPriceField(name string) bool {
	f, ok := findField(priceTable, name)
	return ok && f.Ownable
}
