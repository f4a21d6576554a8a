package validation

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
)

func plain() *catalogv1.Product {
	return &catalogv1.Product{
		Id: "mug", Name: "Mug", Description: "Holds coffee", Images: []string{"https://example.com/mug.png"},
		Metadata: map[string]string{"sku": "1", "colour": "blue"}, DefaultPrice: "mug-eur",
		Prices: []*catalogv1.Price{
			{Id: "mug-eur", Currency: "eur", UnitAmount: "1400", Metadata: map[string]string{"list": "2026"}},
			{
				Id:                "mug-usd",
				Currency:          "usd",
				UnitAmountDecimal: "1500.5",
				Recurring:         &catalogv1.Recurring{Interval: "month", IntervalCount: 1},
			},
		},
	}
}

func BenchmarkProduct(b *testing.B) {
	v, err := New()
	require.NoError(b, err)
	p := plain()
	require.Empty(b, v.Product(p))
	b.ReportAllocs()
	for b.Loop() {
		v.Product(p)
	}
}

// BenchmarkNew also reports the memory that a validator keeps.
func BenchmarkNew(b *testing.B) {
	held := heap()
	v, err := New()
	require.NoError(b, err)
	held = heap() - held
	for b.Loop() {
		_, err := New()
		require.NoError(b, err)
	}
	b.ReportMetric(float64(held)/1e6, "held-MB")
	runtime.KeepAlive(v)
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
