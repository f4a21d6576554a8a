package catalog

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

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

// ApplyUndo is ApplyWriteBack that also takes fields of prices that Stripe never changes, such as the amount. The
// catalog gets the values of the price that Stripe sells.
func ApplyUndo(desired *catalogv1.ProductChange, observed *catalogv1.Observed,
	fields []string,
) (product *catalogv1.Product, taken []string) {
	product, taken = ApplyWriteBack(desired, observed, fields)
	if product == nil {
		return nil, nil
	}
	d := newDiffer(desired, observed)
	for _, field := range fields {
		if !slices.Contains(taken, field) && d.copyStructure(product, field) {
			taken = append(taken, field)
		}
	}
	return product, taken
}

// copyStructure copies a field that a price has from its creation on. It reports whether there is one.
func (d *differ) copyStructure(p *catalogv1.Product, field string) bool {
	for _, price := range p.GetPrices() {
		name, ok := strings.CutPrefix(field, "prices."+price.GetId()+".")
		inStripe := d.predecessor(price.GetId())
		if !ok || inStripe == nil || !inStripe.GetPrice().GetActive() {
			continue
		}
		name, _, _ = strings.Cut(name, ".")
		names := []string{name}
		if name == "unit_amount" || name == "unit_amount_decimal" {
			// Stripe's two forms of one value.
			names = []string{"unit_amount", "unit_amount_decimal"}
		}
		if _, ok := findField(priceTable, name); !ok {
			continue
		}
		to, from := price.ProtoReflect(), CanonicalPrice(inStripe.GetPrice()).ProtoReflect()
		for _, name := range names {
			copyMessageField(to, from, to.Descriptor().Fields().ByName(protoreflect.Name(name)))
		}
		return true
	}
	return false
}

func copyMessageField(to, from protoreflect.Message, field protoreflect.FieldDescriptor) {
	if !from.Has(field) {
		to.Clear(field)
		return
	}
	to.Set(field, from.Get(field))
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
		inStripe := d.predecessor(price.GetId())
		if !ok || inStripe == nil {
			continue
		}
		if currency, ok := strings.CutPrefix(name, "currency_options."); ok && currency != "" {
			name = "currency_options"
		}
		if key, ok := strings.CutPrefix(name, "metadata."); ok {
			price.Metadata = copyKey(price.GetMetadata(), inStripe.GetPrice().GetMetadata(), key)
			return true
		}
		if isPriceField(name) {
			setPrice(price, name, inStripe.GetPrice())
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
