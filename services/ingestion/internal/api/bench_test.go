package api_test

import (
	"fmt"
	"testing"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
)

// BenchmarkUpsert writes batches of a thousand products with two prices each.
func BenchmarkUpsert(b *testing.B) {
	const products = 1000
	batch := func(n int, name string) []*catalogv1.Product {
		out := make([]*catalogv1.Product, products)
		for i := range out {
			id := fmt.Sprintf("product-%d-%d", n, i)
			out[i] = product(id, price(id+"-eur"), price(id+"-usd"))
			out[i].Description, out[i].Metadata = name, map[string]string{"sku": id, "colour": "blue"}
		}
		return out
	}
	for _, c := range []struct {
		name  string
		batch func(int) []*catalogv1.Product
	}{
		{"new", func(n int) []*catalogv1.Product { return batch(n, "") }},
		{"changed", func(n int) []*catalogv1.Product { return batch(0, fmt.Sprint(n)) }},
		{"unchanged", func(int) []*catalogv1.Product { return batch(0, "") }},
	} {
		b.Run(c.name, func(b *testing.B) {
			r := newRig(b)
			r.mustUpsert(batch(0, "")...)
			n := 0
			for b.Loop() {
				n++
				r.mustUpsert(c.batch(n)...)
			}
			b.ReportMetric(float64(products)*float64(n)/b.Elapsed().Seconds(), "products/s")
		})
	}
}
