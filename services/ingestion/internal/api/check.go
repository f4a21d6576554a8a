package api

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	ingestv1 "github.com/driftless-sync/driftless/proto/driftless/ingest/v1"
	"github.com/driftless-sync/driftless/services/catalog"
)

// maxProducts of one call.
const maxProducts = 1000

// check returns every fault of a batch: of each product, and between them.
func (s *server) check(products []*catalogv1.Product) []*ingestv1.FieldViolation {
	if n := len(products); n == 0 || n > maxProducts {
		return []*ingestv1.FieldViolation{{Field: "products", Message: fmt.Sprintf("must be between 1 and %d, not %d", maxProducts, n)}}
	}
	var out []*ingestv1.FieldViolation
	ids, prices, keys := map[string]string{}, map[string]string{}, map[string]string{}
	for i, p := range products {
		path := fmt.Sprintf("products[%d]", i)
		add := func(field, message string) {
			out = append(out, &ingestv1.FieldViolation{Field: path + field, ProductId: p.GetId(), Message: message})
		}
		for _, v := range s.Validator.Product(p) {
			add("."+positioned(p, v.Field), v.Message)
		}
		for _, field := range withNUL("", p.ProtoReflect()) {
			add(field, "must not hold the character U+0000: the database cannot store it")
		}
		// once says of a value, empty ones apart, which product before has it.
		once := func(values map[string]string, value, field, format string) {
			if other, taken := values[value]; taken {
				add(field, fmt.Sprintf(format, other))
			} else if value != "" {
				values[value] = p.GetId()
			}
		}
		once(ids, p.GetId(), ".id", "is in the call twice: product %s")
		for j, price := range p.GetPrices() {
			// Values used twice within a product are faults of the product.
			if prices[price.GetId()] != p.GetId() {
				once(prices, price.GetId(), fmt.Sprintf(".prices[%d].id", j), "is used by a price of product %s too")
			}
			if key := catalog.LookupKey(price); keys[key] != p.GetId() {
				once(keys, key, fmt.Sprintf(".prices[%d].lookup_key", j), "is used by a price of product %s too")
			}
		}
	}
	return out
}

// positioned writes the path of a field of a product as callers know it: by the position in what they sent.
func positioned(p *catalogv1.Product, field string) string {
	for j := range slices.Backward(p.GetPrices()) {
		if rest, ok := strings.CutPrefix(field, catalog.PricePath(p, j)); ok {
			return fmt.Sprintf("prices[%d]%s", j, rest)
		}
	}
	return field
}

// checkIDs returns every fault of ids of products that must exist.
func checkIDs(ids []string) []*ingestv1.FieldViolation {
	if n := len(ids); n == 0 || n > maxProducts {
		return []*ingestv1.FieldViolation{{Field: "ids", Message: fmt.Sprintf("must be between 1 and %d, not %d", maxProducts, n)}}
	}
	var out []*ingestv1.FieldViolation
	seen := map[string]bool{}
	for i, id := range ids {
		message := ""
		switch {
		case id == "":
			message = "must not be empty"
		case strings.ContainsRune(id, 0):
			message = "must not hold the character U+0000"
		case seen[id]:
			message = "is in the call twice"
		}
		if message != "" {
			out = append(out, &ingestv1.FieldViolation{Field: fmt.Sprintf("ids[%d]", i), ProductId: id, Message: message})
		}
		seen[id] = true
	}
	return out
}

// withNUL are the paths of texts that hold the character U+0000: Postgres cannot store it.
func withNUL(path string, m protoreflect.Message) []string {
	var out []string
	look := func(path string, kind protoreflect.Kind, v protoreflect.Value) {
		switch {
		case kind == protoreflect.MessageKind:
			out = append(out, withNUL(path, v.Message())...)
		case kind == protoreflect.StringKind && strings.ContainsRune(v.String(), 0):
			out = append(out, path)
		}
	}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		path := path + "." + string(f.Name())
		switch {
		case f.IsList():
			for i := range v.List().Len() {
				look(fmt.Sprintf("%s[%d]", path, i), f.Kind(), v.List().Get(i))
			}
		case f.IsMap():
			v.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
				look(path, protoreflect.StringKind, k.Value())
				look(fmt.Sprintf("%s[%q]", path, k.String()), f.MapValue().Kind(), v)
				return true
			})
		default:
			look(path, f.Kind(), v)
		}
		return true
	})
	slices.Sort(out)
	return out
}
