package control

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/internal/adoption"
)

func TestIsPlannable_BoundsProductsAndPrices(t *testing.T) {
	t.Parallel()
	require.True(t, isPlannable(100_000, 1_000_000))
	require.False(t, isPlannable(100_001, 100_001))
	require.False(t, isPlannable(1_000, 1_000_001), "products with very many prices need as much memory")
}

// BenchmarkPlanAdoption measures the memory of a plan of the largest size: half of the products are in the catalog, and
// half in Stripe. Each has three prices, and one that differs. kept-MB stays while somebody turns the pages of the
// plan. peak-MB is needed while it is made, without the rows that are read meanwhile.
func BenchmarkPlanAdoption(b *testing.B) {
	for b.Loop() {
		before := liveBytes()
		wanted, existing := make([]adoption.Wanted, 0), make([]adoption.Existing, 0)
		for i := range maxAdoptable / 2 {
			change, held := adoptablePair(i)
			wanted = append(wanted, adoption.WantedOf(change, "sku"))
			existing = append(existing, adoption.ExistingOf(held, "sku"))
		}
		matches := adoption.Matches(wanted, existing)
		var plan []*controlv1.AdoptionMatch
		for i, m := range matches {
			change, held := adoptablePair(i)
			plan = append(plan, matchOf(adoption.Propose(m, change, held), change.GetProduct().GetName(),
				held.GetProduct().GetName()))
		}
		peak := liveBytes()
		runtime.KeepAlive(wanted)
		runtime.KeepAlive(existing)
		runtime.KeepAlive(matches)
		kept := liveBytes()
		if len(plan) != maxAdoptable/2 {
			b.Fatalf("%d matches", len(plan))
		}
		runtime.KeepAlive(plan)
		b.ReportMetric(float64(peak-before)/1e6, "peak-MB")
		b.ReportMetric(float64(kept-before)/1e6, "kept-MB")
	}
}

// liveBytes returns the memory that is in use after a garbage collection.
func liveBytes() uint64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

// adoptablePair returns the sides of a product that match by their lookup keys. One price has another amount.
func adoptablePair(i int) (*catalogv1.ProductChange, *catalogv1.Observed) {
	id := fmt.Sprintf("product-%06d", i)
	name := fmt.Sprintf("A product with a name of some length, number %d", i)
	want := &catalogv1.Product{Id: id, Name: name}
	held := &catalogv1.Observed{
		Account: "default", ProductId: fmt.Sprintf("prod_%012d", i),
		Product: &catalogv1.Product{Name: name, Active: proto.Bool(true)},
	}
	for n, amount := range []string{"1400", "1500", "1600"} {
		price := &catalogv1.Price{
			Id:         fmt.Sprintf("%s-%d", id, n),
			Currency:   "eur",
			UnitAmount: amount,
			LookupKey:  fmt.Sprintf("%s-%d", id, n),
		}
		want.Prices = append(want.Prices, price)
		sold := proto.CloneOf(price)
		sold.Id, sold.Active = "", proto.Bool(true)
		if n == 2 {
			sold.UnitAmount = "1700"
		}
		held.Prices = append(held.Prices, &catalogv1.ObservedPrice{
			StripeId: fmt.Sprintf("price_%012d%d", i, n), Price: sold,
		})
	}
	return &catalogv1.ProductChange{Account: "default", ProductId: id, Product: want}, held
}
