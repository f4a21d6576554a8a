package ledger_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// BenchmarkLedger_Apply compares transactions that are counted with transactions that are not. The two alternate, so
// that both meet the same load of the machine.
func BenchmarkLedger_Apply(b *testing.B) {
	for _, size := range []int{1, 128} {
		b.Run(fmt.Sprintf("batch of %d", size), func(b *testing.B) {
			plain, counted := openForBench(b), openForBench(b)
			require.NoError(b, counted.Join(b.Context()))
			var took [2]float64
			for n := uint64(0); b.Loop(); n++ {
				for i, l := range []*ledger.Ledger{plain, counted} {
					changes := batchOf(size, n+1)
					b.StopTimer()
					before := b.Elapsed()
					b.StartTimer()
					require.NoError(b, l.Apply(b.Context(), changes...))
					took[i] += (b.Elapsed() - before).Seconds()
				}
			}
			b.ReportMetric(took[1]/took[0], "counted/plain")
		})
	}
}

func openForBench(b *testing.B) *ledger.Ledger {
	b.Helper()
	l, err := ledger.Open(b.Context(), localtest.Postgres(b), ledger.Config{Account: "default"})
	require.NoError(b, err)
	b.Cleanup(l.Close)
	return l
}

// batchOf returns states of as many products.
func batchOf(size int, n uint64) (changes []ledger.Change) {
	for i := range size {
		id := fmt.Sprintf("p%d", i)
		changes = append(changes, ledger.ObservedChange(&catalogv1.Observed{
			Account: "default", ProductId: id, Version: n,
			Product: &catalogv1.Product{Id: id, Name: fmt.Sprint("Name ", n), Active: proto.Bool(true)},
		}, at(n*1000+uint64(i))))
	}
	return changes
}
