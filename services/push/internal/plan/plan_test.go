package plan_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/catalog/catalogtest"
	"github.com/driftless-sync/driftless/services/push/internal/plan"
)

// The laws of claim, call and record, for every history of the product and every fate of a call.

func TestRecord_LeavesNothingToCallAfterSuccess(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, req := withHistory(t)
		if slices.Contains(req.Change.GetUnmanagedFields(), "prices.lookup_key") {
			t.Skip("a price can take the key of another one that the catalog does not manage: see TestDiff_Converges")
		}
		d := s.round(t, planner("a"), req, always)
		require.NotNil(t, d.Plan)
		require.False(t, s.observed.GetStale())
		require.Nil(t, s.observed.GetClaim())
		require.Equal(t, req.Change.GetVersion(), s.observed.GetVersion())
		for _, c := range d.Plan.Calls {
			require.True(t, catalog.FindIntent(s.observed, c.Key).GetAnswered())
		}
		left := planner("b").Decide(req, plan.Seen{Observed: s.observed, At: s.now})
		require.Equal(t, plan.Store, left.Action)
		require.Empty(t, left.Plan.Calls)

		req.Reread = true
		left = s.decide(planner("b"), req)
		require.Empty(t, left.Plan.Calls, "what is recorded is what Stripe holds")
	})
}

// TestRound_CreatesEachPriceOnce lets calls fail, answers get lost and processes die. Whatever happens, the product
// ends as the catalog wants it, and nothing was created twice.
func TestRound_CreatesEachPriceOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, req := newShop(), want(catalogtest.Change(productID).Draw(t, "desired"), 1)
		for range rapid.IntRange(0, 6).Draw(t, "attempts") {
			holder := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "process")
			s.round(t, planner(holder), req, anyFate(t))
			s.now = s.now.Add(rapid.SampledFrom([]time.Duration{
				time.Second, plan.ClaimTimeout, 10 * time.Minute, 25 * time.Hour,
			}).Draw(t, "pause"))
		}
		s.now = s.now.Add(plan.ClaimTimeout)
		for range 3 {
			s.round(t, planner("last"), req, always)
		}
		reread := req
		reread.Reread = true
		require.Empty(t, s.decide(planner("last"), reread).Plan.Calls)
		require.Equal(t, req.Change.GetVersion(), s.observed.GetVersion())
		calm := newShop()
		calm.round(t, planner("a"), req, always)
		require.Len(t, s.stripe.PriceIDs(productID), len(calm.stripe.PriceIDs(productID)))
	})
}

// A call that may have been executed is only repeated with its own key, or Stripe is read first.
func TestDecide_KeepsTheKeyOfACallOfUnknownOutcome(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, req := withHistory(t)
		s.round(t, planner("a"), req, anyFate(t))
		if rapid.Bool().Draw(t, "changed") {
			req = want(catalogtest.Edit(t, req.Change), req.Change.GetVersion()+1)
		}
		if rapid.Bool().Draw(t, "later") {
			s.now = s.now.Add(plan.ClaimTimeout)
		}
		d := planner("b").Decide(req, plan.Seen{Observed: s.observed, At: s.now})
		if d.Plan == nil {
			require.Contains(t, []plan.Action{plan.Busy, plan.Reread}, d.Action)
			return
		}
		for _, intent := range s.observed.GetIntents() {
			require.True(t, intent.GetSettled() || slices.ContainsFunc(d.Plan.Calls, func(c plan.PlannedCall) bool {
				return c.Key == intent.GetIdempotencyKey()
			}), "%s is neither repeated nor reread", intent.GetStep())
		}
	})
}

// A step keeps the key of its unsettled intent also when the generation has grown since, and it keeps the time of its
// first call.
func TestDecide_KeepsKeysAcrossGenerations(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, req := withHistory(t)
		first := s.decide(planner("a"), req)
		s.observed = proto.CloneOf(first.Plan.State)
		s.observed.Generation += rapid.Uint64Range(0, 3).Draw(t, "generations")
		s.now = s.now.Add(plan.ClaimTimeout)
		again := s.decide(planner("b"), req)
		require.Len(t, again.Plan.Calls, len(first.Plan.Calls))
		for i, c := range again.Plan.Calls {
			require.Equal(t, first.Plan.Calls[i].Key, c.Key)
			require.Equal(t, first.Plan.At, catalog.FindIntent(again.Plan.State, c.Key).GetFirstAt().AsTime())
		}
	})
}

// The compare-and-set of OBSERVED may record twice: it calls Record again after a conflict, and a write whose answer
// was lost was stored. Neither counts a call twice.
func TestRecord_IsIdempotent(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, req := withHistory(t)
		p := planner("a")
		d := s.decide(p, req)
		r, _ := s.call(t, d.Plan, anyFate(t))
		once, again := proto.CloneOf(d.Plan.State), proto.CloneOf(d.Plan.State)
		if d.Action != plan.Call {
			return
		}
		require.Equal(t, plan.Released, p.Record(once, req, d.Plan, r))
		require.Equal(t, plan.Released, p.Record(again, req, d.Plan, r))
		require.True(t, proto.Equal(once, again), "the same input has the same result")

		require.NotEqual(t, plan.Released, p.Record(again, req, d.Plan, r))
		again.Stale = once.GetStale()
		require.True(t, proto.Equal(once, again), "a second record at most asks for a reread")
	})
}

// Another process may take the product over while the calls run. Their intents stay, so that an event continues their
// traces, and the product is reread before the next plan.
func TestRecord_KeepsTheTraceOfCallsWhoseClaimIsLost(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, req := withHistory(t)
		p := planner("a")
		d := s.decide(p, req)
		if d.Action != plan.Call {
			return
		}
		r, _ := s.call(t, d.Plan, anyFate(t))
		taken := proto.CloneOf(d.Plan.State)
		taken.Claim = nil
		if rapid.Bool().Draw(t, "at work") {
			taken.Claim = &catalogv1.Claim{Holder: "b", Until: timestamppb.New(s.now.Add(plan.ClaimTimeout))}
		}
		after := proto.CloneOf(taken)
		recorded := p.Record(after, req, d.Plan, r)
		for _, c := range d.Plan.Calls {
			intent := catalog.FindIntent(after, c.Key)
			require.Equal(t, "trace", intent.GetTraceparent())
			require.False(t, intent.GetSettled())
		}
		require.Equal(t, recorded == plan.Lost, after.GetStale() || taken.GetStale())
		after.Stale = taken.GetStale()
		require.True(t, proto.Equal(taken, after), "the claim and the records of the other process stay")
		if recorded == plan.LostUnsent {
			return
		}
		after.Stale, after.Claim = true, nil
		require.Equal(t, plan.Reread, p.Decide(req, plan.Seen{Observed: after, At: s.now}).Action)
	})
}

func TestDecide_ModifiesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, req := withHistory(t)
		observed, change := proto.CloneOf(s.observed), proto.CloneOf(req.Change)
		d := planner("a").Decide(req, plan.Seen{Observed: s.observed, At: s.now})
		require.True(t, proto.Equal(observed, s.observed) && proto.Equal(change, req.Change))
		require.Equal(t, d.Action, planner("a").Decide(req, plan.Seen{Observed: s.observed, At: s.now}).Action)
	})
}
