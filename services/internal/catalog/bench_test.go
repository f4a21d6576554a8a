package catalog_test

import (
	"testing"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/catalog/catalogtest"
)

// benchmarkProduct returns a product with three prices, as reconciliation compares it for every message and every line
// of a scan.
func benchmarkProduct(b *testing.B) (*catalogv1.ProductChange, *catalogv1.Observed) {
	b.Helper()
	p := proPlan()
	p.Images = []string{"https://example.com/a.png"}
	p.Prices = append(p.Prices, &catalogv1.Price{
		Id:         "once",
		Currency:   "usd",
		UnitAmount: "50000",
		Metadata:   map[string]string{"size": "L"},
	})
	change := upsert(p)
	s := &catalogtest.Stripe{}
	if _, err := s.Pass(catalog.Diff(change, nil)); err != nil {
		b.Fatal(err)
	}
	o := &catalogv1.Observed{ProductId: "prod"}
	product, prices := s.Whole("prod")
	catalog.ObserveAll(o, product, prices)
	catalog.ManageMetadata(o, change)
	return change, o
}

func BenchmarkDiff(b *testing.B) {
	change, o := benchmarkProduct(b)
	b.Run("equal", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if len(catalog.Diff(change, o)) != 0 {
				b.Fatal("not equal")
			}
		}
	})
	b.Run("new name", func(b *testing.B) {
		change := upsert(proPlan())
		change.Product.Name = "Plus"
		b.ReportAllocs()
		for b.Loop() {
			catalog.Diff(change, o)
		}
	})
	b.Run("create", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			catalog.Diff(change, nil)
		}
	})
}

func BenchmarkIdempotencyKey(b *testing.B) {
	change, _ := benchmarkProduct(b)
	step := catalog.Diff(change, nil)[1]
	b.ReportAllocs()
	for b.Loop() {
		step.IdempotencyKey("default", 7)
	}
}
