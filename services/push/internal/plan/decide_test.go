package plan_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/push/internal/plan"
)

// mug returns a desired state of a product without prices.
func mug(name string, version uint64) *catalogv1.ProductChange {
	return &catalogv1.ProductChange{
		Account: "default", ProductId: productID, Version: version, Operation: catalogv1.Operation_OPERATION_UPSERT,
		Product: &catalogv1.Product{Id: productID, Name: name},
	}
}

// applied returns the observed state of a mug whose version was applied.
func applied(t *testing.T, version uint64) *catalogv1.Observed {
	t.Helper()
	s := newShop()
	s.round(t, planner("past"), plan.Request{Change: mug("Mug", version)}, always)
	require.Equal(t, version, s.observed.GetVersion())
	return s.observed
}

func TestDecide_Action(t *testing.T) {
	t.Parallel()
	now := newShop().now
	claimedBy := func(holder string, until time.Time) func(*catalogv1.Observed) {
		return func(o *catalogv1.Observed) {
			o.Claim = &catalogv1.Claim{Holder: holder, Until: timestamppb.New(until)}
		}
	}
	stale := func(o *catalogv1.Observed) { o.Stale = true }
	unknown := func(o *catalogv1.Observed) {
		catalog.RecordIntents(o, &catalogv1.Intent{IdempotencyKey: "driftless-other", At: timestamppb.New(now)})
	}
	for name, c := range map[string]struct {
		req      plan.Request
		observed func(*catalogv1.Observed)
		reread   bool
		want     plan.Action
		publish  bool
	}{
		"a later state has calls":  {req: plan.Request{Change: mug("Cup", 11)}, want: plan.Call},
		"a later equal state":      {req: plan.Request{Change: mug("Mug", 11)}, want: plan.Store, publish: true},
		"the state applied before": {req: plan.Request{Change: mug("Mug", 10)}, want: plan.Unchanged},
		"delivered again after a crash": {
			req:     plan.Request{Change: mug("Mug", 10), Redelivered: true},
			want:    plan.Unchanged,
			publish: true,
		},
		"an earlier state":            {req: plan.Request{Change: mug("Cup", 9)}, want: plan.Superseded},
		"an earlier state with force": {req: plan.Request{Change: mug("Cup", 9), Force: true}, want: plan.Outdated},
		"the same state with force":   {req: plan.Request{Change: mug("Mug", 10), Force: true}, want: plan.Store},
		"a reread is asked for": {
			req:  plan.Request{Change: mug("Mug", 10), Force: true, Reread: true},
			want: plan.Reread,
		},
		"a reread was made": {
			req: plan.Request{Change: mug("Mug", 10), Force: true, Reread: true}, reread: true, want: plan.Store,
		},
		"claimed by another process": {
			req: plan.Request{Change: mug("Cup", 11)}, observed: claimedBy("b", now.Add(time.Second)), want: plan.Busy,
		},
		"claimed, and superseded": {
			req: plan.Request{Change: mug("Cup", 9)}, observed: claimedBy("b", now.Add(time.Second)), want: plan.Busy,
		},
		"the claim of a dead process": {
			req: plan.Request{Change: mug("Cup", 11)}, observed: claimedBy("b", now), want: plan.Reread,
		},
		"an own claim that was left": {
			req: plan.Request{Change: mug("Cup", 11)}, observed: claimedBy("a", now.Add(time.Second)),
			want: plan.Reread,
		},
		"the applied state is stale": {req: plan.Request{Change: mug("Mug", 10)}, observed: stale, want: plan.Reread},
		"a call of unknown outcome that is not repeated": {
			req: plan.Request{Change: mug("Cup", 11)}, observed: unknown, want: plan.Reread,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := applied(t, 10)
			if c.observed != nil {
				c.observed(o)
			}
			d := planner("a").Decide(c.req, plan.Seen{Observed: o, At: now, Reread: c.reread})
			require.Equal(t, c.want, d.Action)
			require.Equal(t, c.publish, d.Publish)
			require.Equal(t, c.want == plan.Store || c.want == plan.Call, d.Plan != nil)
		})
	}
}

func TestDecide_StoresTheClaimWithTheIntents(t *testing.T) {
	t.Parallel()
	s := newShop()
	req := plan.Request{Change: mug("Mug", 10), Traceparent: "trace"}
	req.Change.CommittedAt = timestamppb.New(s.now.Add(-time.Second))
	d := planner("a").Decide(req, plan.Seen{Observed: s.observed, At: s.now})
	require.Len(t, d.Plan.Calls, 1)
	state := d.Plan.State
	require.Equal(t, "a", state.GetClaim().GetHolder())
	require.Equal(t, s.now.Add(plan.ClaimTimeout), state.GetClaim().GetUntil().AsTime())
	require.Zero(t, state.GetVersion(), "nothing is applied yet")
	intent := catalog.FindIntent(state, d.Plan.Calls[0].Key)
	require.Equal(t, "create product prod", intent.GetStep())
	require.Equal(t, "trace", intent.GetTraceparent())
	require.Equal(t, req.Change.GetCommittedAt().AsTime(), intent.GetCommittedAt().AsTime())

	later := s.now.Add(plan.ClaimTimeout / 2)
	require.True(t, planner("a").Renew(state, d.Plan, 0, later))
	require.Equal(t, later.Add(plan.ClaimTimeout), state.GetClaim().GetUntil().AsTime())
	require.Equal(t, later, intent.GetAt().AsTime())
	require.Equal(t, s.now, intent.GetFirstAt().AsTime())
	require.False(t, planner("b").Renew(state, d.Plan, 0, later), "the claim is another's")
}
