package catalog_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/catalog/catalogtest"
)

// The laws of Diff hold with overlaps, too. Only the replaced prices that are kept stay active beside the others.

// overlapping is a Stripe account with the record of the prices that are kept in it, as push has it.
type overlapping struct {
	*catalogtest.Stripe
	records map[string]*catalogv1.ObservedPrice
	now     time.Time
}

// observed returns the observed state with what push has recorded.
func (w *overlapping) observed(change *catalogv1.ProductChange) *catalogv1.Observed {
	o := observedState(w.Stripe, change)
	for _, p := range o.GetPrices() {
		p.KeepUntil, p.ReplacedAt = w.records[p.GetStripeId()].GetKeepUntil(),
			w.records[p.GetStripeId()].GetReplacedAt()
	}
	return o
}

// plan records the overlaps of a pass, and returns its steps.
func (w *overlapping) plan(change *catalogv1.ProductChange) []catalog.Step {
	o := catalog.ApplyOverlaps(change, w.observed(change), w.now)
	w.records = map[string]*catalogv1.ObservedPrice{}
	for _, p := range o.GetPrices() {
		w.records[p.GetStripeId()] = p
	}
	return catalog.Diff(change, o)
}

func (w *overlapping) apply(t require.TestingT, change *catalogv1.ProductChange) {
	steps := w.plan(change)
	done, err := w.Pass(steps)
	require.NoError(t, err, "step %d of\n%s", done, words(steps))
	require.Empty(t, w.plan(change), "one pass is enough")
}

func (w *overlapping) kept(change *catalogv1.ProductChange) (ids []string) {
	for _, p := range catalog.KeptPrices(change, w.observed(change)) {
		ids = append(ids, p.GetStripeId())
	}
	return ids
}

func withOverlap(change *catalogv1.ProductChange, d time.Duration) *catalogv1.ProductChange {
	out := proto.CloneOf(change)
	if d > 0 {
		out.ArchiveAfter = durationpb.New(d)
	}
	return out
}

// drawOverlapping generates an account in which the catalog has replaced prices, with crashes and edits in the
// dashboard, and the last desired state in it.
func drawOverlapping(t *rapid.T) (*overlapping, *catalogv1.ProductChange) {
	s, last := account(t)
	if last == nil || last.GetProduct() == nil {
		last = upsert(catalogtest.Product(productID).Draw(t, "product"))
	}
	w := &overlapping{Stripe: s, now: time.Unix(1_800_000_000, 0)}
	for range rapid.IntRange(1, 6).Draw(t, "edits") {
		w.now = w.now.Add(time.Duration(rapid.IntRange(0, 40).Draw(t, "minutes")) * time.Minute)
		if rapid.IntRange(0, 3).Draw(t, "by") == 0 {
			catalogtest.Dashboard(t, w.Stripe, productID)
			continue
		}
		if last = catalogtest.Edit(t, last); rapid.Bool().Draw(t, "new amount") {
			last = proto.CloneOf(last)
			for _, p := range last.GetProduct().GetPrices() {
				if p.GetUnitAmount() != "" {
					p.UnitAmount = rapid.SampledFrom([]string{"700", "800", "900"}).Draw(t, "amount")
				}
			}
		}
		last = withOverlap(last, rapid.SampledFrom([]time.Duration{0, time.Hour, time.Hour}).Draw(t, "archive after"))
		if steps := w.plan(last); rapid.IntRange(0, 3).Draw(t, "crash") == 0 {
			_, err := w.Pass(steps[:rapid.IntRange(0, len(steps)).Draw(t, "steps before the crash")])
			require.NoError(t, err, words(steps))
			continue
		}
		w.apply(t, last)
	}
	return w, last
}

func TestDiff_IsEmptyWhileReplacedPricesAreKept(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w, change := drawOverlapping(t)
		w.apply(t, change)
		o := w.observed(change)
		left := catalog.Diff(change, o)
		require.Empty(t, left, "still to do:\n%s", words(left))
		require.Empty(t, catalog.Compare(change, o))
		require.Same(t, o, catalog.ApplyOverlaps(change, o, w.now), "nothing begins or ends without a change")
		kept := w.kept(change)
		require.NotContains(t, kept, o.GetProduct().GetDefaultPrice(), "the default price moved before")
		if change.GetArchiveAfter() == nil || change.GetProduct() == nil {
			require.Empty(t, kept)
		}
		for _, id := range kept {
			p := find(o, id)
			require.True(t, p.GetPrice().GetActive())
			require.True(t, w.now.Before(p.GetKeepUntil().AsTime()))
			require.LessOrEqual(t, p.GetKeepUntil().AsTime().Sub(w.now), time.Hour)
			require.True(t, slices.ContainsFunc(o.GetPrices(), func(other *catalogv1.ObservedPrice) bool {
				return other.GetPrice().GetId() == p.GetPrice().GetId() && other.GetPrice().GetActive() &&
					!slices.Contains(kept, other.GetStripeId())
			}), "price %s is kept, and nothing has replaced it", id)
		}
	})
}

func TestDiff_ArchivesExactlyTheKeptPricesAfterwards(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w, change := drawOverlapping(t)
		w.apply(t, change)
		kept := w.kept(change)
		ended := change
		if rapid.Bool().Draw(t, "by time") {
			w.now = w.now.Add(time.Hour)
		} else if change.GetProduct() != nil {
			ended = withOverlap(change, 0)
			ended.ArchiveAfter = nil
		}
		var archived []string
		for _, step := range w.plan(ended) {
			require.True(t, step.Kind == catalog.UpdatePrice && has(step, "active", "false"), "%s %v", step,
				step.Params)
			archived = append(archived, step.StripePriceID)
		}
		require.ElementsMatch(t, kept, archived)
		w.apply(t, ended)
		require.Empty(t, w.kept(ended))
		if !slices.Contains(ended.GetUnmanagedFields(), "prices.active") {
			oneActivePriceEach(t, w.Stripe, ended)
		}
	})
}

func TestDiff_ConvergesAfterAnyPrefixWithOverlap(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w, change := drawOverlapping(t)
		next := withOverlap(catalogtest.Edit(t, change), time.Hour)
		steps := w.plan(next)
		n := rapid.IntRange(0, len(steps)).Draw(t, "steps before the crash")
		_, err := w.Pass(steps[:n])
		require.NoError(t, err, words(steps))
		w.now = w.now.Add(time.Duration(rapid.IntRange(0, 90).Draw(t, "minutes")) * time.Minute)
		w.apply(t, next)
		left := catalog.Diff(next, w.observed(next))
		require.Empty(t, left, "still to do:\n%s", words(left))
	})
}

func TestCompare_IsEmptyExactlyWhenDiffIsWithOverlap(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w, change := drawOverlapping(t)
		next := withOverlap(catalogtest.Edit(t, change), time.Hour)
		o := catalog.ApplyOverlaps(next, w.observed(next), w.now)
		before := proto.CloneOf(o)
		steps := catalog.Diff(next, o)
		require.Equal(t, len(steps) == 0, len(catalog.Compare(next, o)) == 0, words(steps))
		require.Equal(t, len(steps) == 0, len(catalog.Outline(next, o)) == 0, words(steps))
		require.True(t, proto.Equal(before, o))
	})
}

func TestDiff_UsesKeptPriceAgain(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, change, id := drawSelling(t)
		change.Product.Active = nil
		change = withOverlap(change, time.Hour)
		w := &overlapping{Stripe: s, now: time.Unix(1_800_000_000, 0)}
		w.apply(t, change)
		first := representingPrice(w.observed(change), id).GetStripeId()
		dearer := withAmount(change, id, "777")
		w.apply(t, dearer)
		require.Contains(t, w.kept(dearer), first)
		count := len(s.PriceIDs(productID))

		w.now = w.now.Add(time.Minute)
		w.apply(t, change)
		require.Len(t, s.PriceIDs(productID), count, "a price was created although the kept one fits")
		require.NotContains(t, w.kept(change), first)
		require.Len(t, w.kept(change), 1, "the other price is kept now")
		require.Equal(t, timestamppb.New(w.now.Add(time.Hour)).AsTime(),
			find(w.observed(change), w.kept(change)[0]).GetKeepUntil().AsTime())
		require.Equal(t, catalog.LookupKey(wanted(change, id)),
			find(w.observed(change), first).GetPrice().GetLookupKey())
		w.now = w.now.Add(time.Hour)
		w.apply(t, change)
		require.True(t, find(w.observed(change), first).GetPrice().GetActive())
		oneActivePriceEach(t, s, change)
	})
}
