package writeback

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
)

// withFields returns a product with another one's values in some fields. Fields have Stripe's names: "description",
// "metadata.color", "prices.mug-eur.nickname". "prices.mug-eur" is a price with all its fields, which the product may
// lack. A path below a key of metadata means the field that contains it.
func withFields(product, from *catalogv1.Product, fields []string) (*catalogv1.Product, error) {
	out := proto.CloneOf(product)
	for _, field := range fields {
		rest, ofPrice := strings.CutPrefix(field, "prices.")
		if !ofPrice {
			if err := copyField(out.ProtoReflect(), from.ProtoReflect(), field, "id", "prices"); err != nil {
				return nil, err
			}
			continue
		}
		id, rest, ok := cutPriceID(rest, from)
		if !ok {
			return nil, fmt.Errorf("%s is not a field of one of the product's prices", field)
		}
		at := slices.IndexFunc(out.GetPrices(), func(p *catalogv1.Price) bool { return p.GetId() == id })
		switch {
		case rest == "" && at < 0:
			out.Prices = append(out.Prices, proto.CloneOf(findPrice(from, id)))
		case rest == "":
			out.Prices[at] = proto.CloneOf(findPrice(from, id))
		case at < 0:
			return nil, fmt.Errorf("the catalog has no price %s, to which field %s belongs", id, field)
		default:
			if err := copyField(out.GetPrices()[at].ProtoReflect(), findPrice(from, id).ProtoReflect(), rest,
				"id"); err != nil {
				return nil, fmt.Errorf("price %s: %w", id, err)
			}
		}
	}
	return out, nil
}

// cutPriceID splits a path into the id of one of the product's prices, which may have dots, and the rest. It takes the
// longest id that fits.
func cutPriceID(path string, product *catalogv1.Product) (id, rest string, ok bool) {
	for _, p := range product.GetPrices() {
		after, found := strings.CutPrefix(path, p.GetId())
		if !found || after != "" && after[0] != '.' || ok && len(p.GetId()) < len(id) {
			continue
		}
		id, rest, ok = p.GetId(), strings.TrimPrefix(after, "."), true
	}
	return id, rest, ok
}

func findPrice(p *catalogv1.Product, id string) *catalogv1.Price {
	for _, price := range p.GetPrices() {
		if price.GetId() == id {
			return price
		}
	}
	return nil
}

// amountFields are Stripe's two forms of one value.
var amountFields = []protoreflect.Name{"unit_amount", "unit_amount_decimal"}

// copyField copies another message's value of a field, or of a key of it.
func copyField(to, from protoreflect.Message, path string, except ...protoreflect.Name) error {
	name, key, _ := strings.Cut(path, ".")
	field := to.Descriptor().Fields().ByName(protoreflect.Name(name))
	switch {
	case field == nil || slices.Contains(except, field.Name()):
		return fmt.Errorf("%s is not a field that can be written back", name)
	case slices.Contains(amountFields, field.Name()):
		for _, n := range amountFields {
			copyDeep(to, from, to.Descriptor().Fields().ByName(n))
		}
	case field.IsMap() && key != "":
		if name == "currency_options" {
			key, _, _ = strings.Cut(key, ".")
		}
		k := protoreflect.ValueOfString(key).MapKey()
		if v := proto.Clone(from.Interface()).ProtoReflect().Get(field).Map(); v.Has(k) {
			to.Mutable(field).Map().Set(k, v.Get(k))
		} else {
			to.Mutable(field).Map().Clear(k)
		}
	default:
		copyDeep(to, from, field)
	}
	return nil
}

// copyDeep copies a field deeply, so that the messages share no list or map.
func copyDeep(to, from protoreflect.Message, field protoreflect.FieldDescriptor) {
	if !from.Has(field) {
		to.Clear(field)
		return
	}
	to.Set(field, proto.Clone(from.Interface()).ProtoReflect().Get(field))
}

// withoutFields returns a product without the fields that a mapping does not provide.
func withoutFields(p *catalogv1.Product, unmanaged []string) *catalogv1.Product {
	out := proto.CloneOf(p)
	for _, name := range unmanaged {
		of := []protoreflect.Message{out.ProtoReflect()}
		if rest, ofPrice := strings.CutPrefix(name, "prices."); ofPrice {
			of, name = nil, rest
			for _, price := range out.GetPrices() {
				of = append(of, price.ProtoReflect())
			}
		}
		for _, m := range of {
			if field := m.Descriptor().Fields().ByName(protoreflect.Name(name)); field != nil {
				m.Clear(field)
			}
		}
	}
	return out
}
