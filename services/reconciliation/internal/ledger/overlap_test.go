package ledger_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/catalog/catalogtest"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// overlap stores a product whose price was replaced at noon and stays for an hour, as push records it.
func (b *bench) overlap() (*catalogtest.Stripe, *catalogv1.ProductChange, *catalogv1.Observed) {
	b.t.Helper()
	s := &catalogtest.Stripe{}
	change := &catalogv1.ProductChange{
		Account: "default", ProductId: product, Version: 1, Operation: catalogv1.Operation_OPERATION_UPSERT,
		ArchiveAfter: durationpb.New(time.Hour),
		Product: &catalogv1.Product{Id: product, Name: "Mug", DefaultPrice: "one", Prices: []*catalogv1.Price{
			{Id: "one", Currency: "eur", UnitAmount: "1400"},
		}},
	}
	_, err := s.Pass(catalog.Diff(change, s.Observed(product)))
	require.NoError(b.t, err)
	change.Product.Prices[0].UnitAmount = "1600"
	begun := catalog.ApplyOverlaps(change, s.Observed(product), noon)
	_, err = s.Pass(catalog.Diff(change, begun))
	require.NoError(b.t, err)
	o := s.Observed(product)
	o.Account, o.Version = "default", 1
	for _, p := range begun.GetPrices() {
		held := catalog.FindPrice(o, p.GetStripeId())
		held.KeepUntil, held.ReplacedAt = p.GetKeepUntil(), p.GetReplacedAt()
	}
	require.NoError(b.t, b.Apply(b.t.Context(), ledger.DesiredChange(change, at(1), ledger.Entry{}),
		ledger.ObservedChange(o, at(1))))
	return s, change, o
}

func (b *bench) overlaps() (prices []string) {
	b.t.Helper()
	n, err := b.OverlapCount(b.t.Context())
	require.NoError(b.t, err)
	require.NoError(b.t, b.Overlaps(b.t.Context(), nil, 10, func(p *ledger.Product) {
		for _, kept := range p.Kept() {
			prices = append(prices, kept.GetStripeId())
		}
	}))
	require.Len(b.t, prices, int(n))
	return prices
}

func TestOverlap_IsNoDriftUntilItIsOver(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	s, change, o := b.overlap()
	old := catalog.KeptPrices(change, o)[0].GetStripeId()
	for _, after := range []time.Duration{0, 59 * time.Minute, time.Hour + time.Second} {
		b.now = noon.Add(after)
		require.NoError(t, b.EndOverlaps(t.Context()))
		b.findDrift()
		require.Equal(t, []string{old}, b.overlaps(), "push has some time after the end")
		require.Empty(t, b.drift())
		require.Empty(t, differing(t, t.Context(), b.Ledger))
	}
	b.restart(nil)
	// The schedule of push was lost.
	b.now = noon.Add(time.Hour + 11*time.Second)
	require.NoError(t, b.EndOverlaps(t.Context()))
	require.Empty(t, b.overlaps())
	require.Len(t, differing(t, t.Context(), b.Ledger), 1)
	b.findDrift()
	require.Empty(t, b.drift(), "the difference has its grace period")
	b.now = b.now.Add(time.Minute)
	b.findDrift()
	require.Equal(t, catalog.Extra, b.latest().Kind)
	require.Equal(t, old, b.latest().Stripe)
	require.Equal(t, []ledger.Commands{{Repair: true}}, b.commands)

	// The repair archives it.
	require.NoError(t, func() error {
		_, err := s.Call(catalog.UpdatePrice, old, catalog.Param{Name: "active", Value: "false"})
		return err
	}())
	repaired := s.Observed(product)
	repaired.Account, repaired.Version = "default", 1
	require.NoError(t, b.Apply(t.Context(), ledger.ObservedChange(repaired, at(2))))
	require.Equal(t, ledger.Repaired, b.latest().State)
}

func TestOverlap_DoesNotHideDrift(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	_, _, o := b.overlap()
	edited := proto.CloneOf(o)
	edited.Product.Name = "By hand"
	require.NoError(t, b.Apply(t.Context(), ledger.ObservedChange(edited, at(2))))
	require.Equal(t, "name", b.latest().Field)
	require.Len(t, b.overlaps(), 1)
}

func TestOverlap_EndsWithTheCatalogsWish(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	_, change, _ := b.overlap()
	ended := proto.CloneOf(change)
	ended.Version, ended.ArchiveAfter = 2, nil
	require.NoError(t, b.Apply(t.Context(), ledger.DesiredChange(ended, at(2), ledger.Entry{})))
	require.Empty(t, b.overlaps())
	require.Len(t, differing(t, t.Context(), b.Ledger), 1, "push archives the price now")
}
