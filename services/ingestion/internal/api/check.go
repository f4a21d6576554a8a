package api

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"google.golang.org/protobuf/reflect/protoreflect"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	ingestv1 "github.com/driftless-sync/driftless/proto/driftless/ingest/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// Bounds of one call.
const (
	maxProducts = 1000
	maxPrices   = 50_000
)

// check returns the faults of a batch: those of each product, and those between products. It stops after more than
// maxDetails, or when the caller has left.
func (s *server) check(ctx context.Context, products []*catalogv1.Product) []*ingestv1.FieldViolation {
	if n := len(products); n == 0 || n > maxProducts {
		return []*ingestv1.FieldViolation{{
			Field:   "products",
			Message: fmt.Sprintf("must be between 1 and %d, not %d", maxProducts, n),
		}}
	}
	if n := countPrices(products); n > maxPrices {
		message := fmt.Sprintf("must have at most %d prices in a call, not %d", maxPrices, n)
		return []*ingestv1.FieldViolation{{Field: "products", Message: message}}
	}
	var out []*ingestv1.FieldViolation
	ids, prices, keys := map[string]string{}, map[string]string{}, map[string]string{}
	for i, p := range products {
		if len(out) > maxDetails || ctx.Err() != nil {
			break
		}
		path := fmt.Sprintf("products[%d]", i)
		add := func(field, message string) {
			out = append(out, &ingestv1.FieldViolation{
				Field:     path + field,
				ProductId: catalog.Abridged(p.GetId()),
				Message:   message,
			})
		}
		position := requestPaths(p)
		for _, v := range s.Validator.Product(p) {
			add("."+position(v.Field), v.Message)
		}
		for _, field := range nulPaths("", p.ProtoReflect(), maxDetails+1) {
			add(field, "must not hold the character U+0000: the database cannot store it")
		}
		// once adds a fault for a value, empty ones apart, that a product before has too.
		once := func(values map[string]string, value, field, format string) {
			if other, taken := values[value]; taken {
				add(field, fmt.Sprintf(format, catalog.Abridged(other)))
			} else if value != "" {
				values[value] = p.GetId()
			}
		}
		once(ids, p.GetId(), ".id", "is in the call twice: product %s")
		for j, price := range p.GetPrices() {
			if len(out) > maxDetails {
				break
			}
			// A value that is used twice within a product is a fault of the product.
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

func countPrices(products []*catalogv1.Product) (n int) {
	for _, p := range products {
		n += len(p.GetPrices())
	}
	return n
}

// requestPaths returns a function that converts the path of a field to the caller's: with the position in the request
// instead of the price's id. If several prices have one id, it returns the position of the last.
func requestPaths(p *catalogv1.Product) func(field string) string {
	paths := sync.OnceValue(func() map[string]int {
		at := make(map[string]int, len(p.GetPrices()))
		for j := range p.GetPrices() {
			at[catalog.PricePath(p, j)] = j
		}
		return at
	})
	return func(field string) string {
		id, ok := strings.CutPrefix(field, "prices[")
		if !ok {
			return field
		}
		if quoted, err := strconv.QuotedPrefix(id); err == nil {
			id = quoted
		} else {
			id, _, _ = strings.Cut(id, "]")
		}
		path := "prices[" + id + "]"
		rest, ok := strings.CutPrefix(field, path)
		j, known := paths()[path]
		if !ok || !known {
			return field
		}
		return fmt.Sprintf("prices[%d]%s", j, rest)
	}
}

// checkIDs returns the faults of ids of products that must exist.
func checkIDs(ids []string) []*ingestv1.FieldViolation {
	if n := len(ids); n == 0 || n > maxProducts {
		return []*ingestv1.FieldViolation{{
			Field:   "ids",
			Message: fmt.Sprintf("must be between 1 and %d, not %d", maxProducts, n),
		}}
	}
	var out []*ingestv1.FieldViolation
	seen := map[string]bool{}
	for i, id := range ids {
		if len(out) > maxDetails {
			break
		}
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
			out = append(out, &ingestv1.FieldViolation{
				Field:     fmt.Sprintf("ids[%d]", i),
				ProductId: catalog.Abridged(id),
				Message:   message,
			})
		}
		seen[id] = true
	}
	return out
}

// nulPaths returns the paths of at most so many texts that have the character U+0000, which Postgres cannot store.
func nulPaths(path string, m protoreflect.Message, most int) []string {
	var out []string
	visit := func(path func() string, kind protoreflect.Kind, v protoreflect.Value) {
		switch {
		case len(out) >= most:
		case kind == protoreflect.MessageKind:
			out = append(out, nulPaths(path(), v.Message(), most-len(out))...)
		case kind == protoreflect.StringKind && strings.ContainsRune(v.String(), 0):
			out = append(out, path())
		}
	}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		path := path + "." + string(f.Name())
		here := func() string { return path }
		switch {
		case f.IsList():
			for i := range v.List().Len() {
				visit(func() string { return fmt.Sprintf("%s[%d]", path, i) }, f.Kind(), v.List().Get(i))
			}
		case f.IsMap():
			v.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
				visit(here, protoreflect.StringKind, k.Value())
				visit(func() string { return fmt.Sprintf("%s[%q]", path, catalog.Abridged(k.String())) },
					f.MapValue().Kind(), v)
				return len(out) < most
			})
		default:
			visit(here, f.Kind(), v)
		}
		return len(out) < most
	})
	slices.Sort(out)
	return out
}
