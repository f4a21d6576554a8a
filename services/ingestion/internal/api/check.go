package api

import (
	"fmt"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	ingestv1 "github.com/driftless-sync/driftless/proto/driftless/ingest/v1"
	"github.com/driftless-sync/driftless/services/catalog"
)

// maxProducts of one call.
const maxProducts = 1000

// check returns every fault of a batch: of each product, and between them.
func (s *server) check(products []*catalogv1.Product) []*ingestv1.FieldViolation {
	if len(products) == 0 || len(products) > maxProducts {
		return []*ingestv1.FieldViolation{{Field: "products", Message: fmt.Sprintf("must be between 1 and %d", maxProducts)}}
	}
	var out []*ingestv1.FieldViolation
	add := func(product *catalogv1.Product, field, message string) {
		out = append(out, &ingestv1.FieldViolation{Field: field, ProductId: product.GetId(), Message: message})
	}
	ids, prices, keys := map[string]bool{}, map[string]string{}, map[string]string{}
	for i, p := range products {
		path := fmt.Sprintf("products[%d]", i)
		for _, v := range s.Validator.Product(p) {
			field := path
			if v.Field != "" {
				field += "." + v.Field
			}
			add(p, field, v.Message)
		}
		if ids[p.GetId()] {
			add(p, path+".id", "is in the batch twice")
		}
		ids[p.GetId()] = true
		for j, price := range p.GetPrices() {
			path := fmt.Sprintf("%s.prices[%d]", path, j)
			if other, taken := prices[price.GetId()]; taken && other != p.GetId() {
				add(p, path+".id", "belongs to product "+other+" too")
			}
			prices[price.GetId()] = p.GetId()
			key := catalog.LookupKey(price)
			if other, taken := keys[key]; taken && other != p.GetId() {
				add(p, path+".lookup_key", "is used by product "+other+" too")
			}
			keys[key] = p.GetId()
		}
	}
	return out
}
