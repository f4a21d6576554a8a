package guard_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/durationpb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/catalog/catalogtest"
	"github.com/driftless-sync/driftless/services/internal/guard"
)

// history syncs one amount after the other with an overlap, and inspects each change before it is made.
type history struct {
	t       *testing.T
	stripe  *catalogtest.Stripe
	now     time.Time
	records map[string]*catalogv1.ObservedPrice
}

func (h *history) sync(minor string, overlap time.Duration) guard.Report {
	h.t.Helper()
	return h.syncProduct(with(amount(minor)), overlap)
}

func (h *history) syncProduct(product *catalogv1.Product, overlap time.Duration) guard.Report {
	h.t.Helper()
	desired := wanted(product)
	desired.ArchiveAfter = durationpb.New(overlap)
	o := h.stripe.Observed("mug")
	o.Version = 1
	for _, p := range o.GetPrices() {
		p.KeepUntil, p.ReplacedAt = h.records[p.GetStripeId()].GetKeepUntil(),
			h.records[p.GetStripeId()].GetReplacedAt()
	}
	current := catalog.ApplyOverlaps(desired, o, h.now)
	steps := catalog.Diff(desired, current)
	h.records = map[string]*catalogv1.ObservedPrice{}
	for _, p := range current.GetPrices() {
		h.records[p.GetStripeId()] = p
	}
	_, err := h.stripe.Pass(steps)
	require.NoError(h.t, err)
	return guard.Inspect(all, guard.Change{Observed: o, Desired: desired, Steps: steps, After: current})
}

// A row that gets both an amount and a lookup key of its own returns to the kept price without a call about that price.
func TestInspect_ComparesAKeptPriceThatNeedsNoCall(t *testing.T) {
	t.Parallel()
	h := &history{t: t, stripe: &catalogtest.Stripe{}, now: time.Unix(1_800_000_000, 0)}
	version := func(minor, key string) *catalogv1.Product {
		return with(func(p *catalogv1.Product) { p.Prices[0].UnitAmount, p.Prices[0].LookupKey = minor, key })
	}
	h.syncProduct(version("100", "mug-v1"), time.Hour)
	require.NotEmpty(t, h.syncProduct(version("10000", "mug-v2"), time.Hour).Findings)
	back := h.syncProduct(version("100", "mug-v1"), time.Hour)
	require.Len(t, back.Findings, 1)
	require.Equal(t, "100.00 EUR", back.Findings[0].Before)
	require.Equal(t, "1.00 EUR", back.Findings[0].After)
	require.Len(t, back.Counted.Prices, 1)
}

func TestInspect_CountsReplacedPriceOnceWithOverlap(t *testing.T) {
	t.Parallel()
	h := &history{t: t, stripe: &catalogtest.Stripe{}, now: time.Unix(1_800_000_000, 0)}
	h.sync("1400", time.Hour)
	require.Len(t, h.sync("1500", time.Hour).Counted.Prices, 1, "the archive is put off, and counts now")
	require.Empty(t, h.sync("1500", time.Hour).Counted.Prices)
	require.Len(t, h.sync("1600", time.Hour).Counted.Prices, 1, "the kept price is not replaced again")
	back := h.sync("1500", time.Hour)
	require.Len(t, back.Counted.Prices, 1, "an earlier price takes the place of this one")
	require.Empty(t, back.Findings)
	h.now = h.now.Add(time.Hour)
	require.Empty(t, h.sync("1500", time.Hour).Counted.Prices, "the archives were counted before")
}

func TestInspect_ComparesEarlierPricesThatAreUsedAgain(t *testing.T) {
	t.Parallel()
	for name, overlap := range map[string]time.Duration{"archived": 0, "kept": time.Hour} {
		h := &history{t: t, stripe: &catalogtest.Stripe{}, now: time.Unix(1_800_000_000, 0)}
		h.sync("14", overlap)
		require.Equal(t, guard.AmountChange, h.sync("1400", overlap).Findings[0].Rule)
		report := h.sync("14", overlap)
		require.Len(t, report.Findings, 1, name)
		require.Equal(t, guard.AmountChange, report.Findings[0].Rule, name)
		require.Equal(t, "14.00 EUR", report.Findings[0].Before, name)
		require.Equal(t, "0.14 EUR", report.Findings[0].After, name)
	}
}

func TestInspect_ComparesWithThePriceThatIsSold(t *testing.T) {
	t.Parallel()
	h := &history{t: t, stripe: &catalogtest.Stripe{}, now: time.Unix(1_800_000_000, 0)}
	h.sync("1000", time.Hour)
	h.sync("2000", time.Hour)
	h.sync("1000", time.Hour)
	// 20.00 EUR is kept and newer, but the product is sold at 10.00 EUR.
	report := h.sync("1900", time.Hour)
	require.Len(t, report.Findings, 1)
	require.Equal(t, "10.00 EUR", report.Findings[0].Before)
}
