package plan_test

import (
	"errors"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
	"github.com/driftless-sync/driftless/services/push/internal/plan"
)

func TestConclude_AfterAFailure(t *testing.T) {
	t.Parallel()
	exists := stripeapi.Failure{
		Action: stripeapi.RereadFirst, OutcomeKnown: true, Status: http.StatusBadRequest,
		Code: "resource_already_exists",
	}
	for name, c := range map[string]struct {
		failure stripeapi.Failure
		// reread plans after a reread.
		reread     bool
		want       plan.Next
		isReserved bool
		// stale reports whether the recorded state asks for a reread.
		stale bool
		// intent reports whether the call's intent stays; settled whether its outcome is known.
		intent, settled bool
	}{
		"no answer": {
			failure: stripeapi.Failure{Action: stripeapi.RetrySameKey},
			want:    plan.Fail,
			intent:  true,
		},
		"rate limit": {
			failure: stripeapi.Failure{Action: stripeapi.RetrySameKey, NotExecuted: true},
			want:    plan.Fail,
		},
		"the key is halted": {failure: stripeapi.Failure{Action: stripeapi.Halt, NotExecuted: true}, want: plan.Fail},
		"an error of Stripe": {
			failure: stripeapi.Failure{Action: stripeapi.RereadFirst, OutcomeKnown: true, Status: 500},
			want:    plan.Fail, stale: true, intent: true, settled: true,
		},
		"not found": {
			failure: stripeapi.Failure{Action: stripeapi.RereadFirst, OutcomeKnown: true, Status: 404},
			want:    plan.Again, stale: true, intent: true, settled: true,
		},
		"refused without a reread": {
			failure: stripeapi.Failure{Action: stripeapi.Refuse, OutcomeKnown: true, Status: 400},
			want:    plan.Again, intent: true, settled: true,
		},
		"refused after a reread": {
			failure: stripeapi.Failure{Action: stripeapi.Refuse, OutcomeKnown: true, Status: 400},
			reread:  true, want: plan.Refused, intent: true, settled: true,
		},
		"the product exists": {failure: exists, want: plan.Again, stale: true, intent: true, settled: true},
		"the product exists, and a reread has not found it": {
			failure: exists, reread: true, want: plan.Again, isReserved: true, stale: true, intent: true, settled: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, p, req := newShop(), planner("a"), plan.Request{Change: mug("Mug", 10), Reread: c.reread}
			d := s.decide(p, req)
			call := d.Plan.Calls[0]
			c.failure.Err = errors.New(name)
			r := plan.Results{Failed: &plan.Failed{Step: call.Step, Failure: &c.failure}}
			stored := proto.CloneOf(d.Plan.State)
			require.Equal(t, plan.Released, p.Record(stored, req, d.Plan, r))
			require.Nil(t, stored.GetClaim())
			require.Zero(t, stored.GetVersion())
			require.Equal(t, c.stale, stored.GetStale())
			intent := catalog.FindIntent(stored, call.Key)
			require.Equal(t, c.intent, intent != nil)
			require.Equal(t, c.settled, intent.GetSettled())
			if c.settled {
				require.Greater(t, stored.GetGeneration(), d.Plan.Base.GetGeneration(), "the next call has another key")
			}
			got := p.Conclude(req, d.Plan, stored, r)
			require.Equal(t, c.want, got.Next)
			require.Equal(t, c.isReserved, got.IsReserved)
			require.False(t, got.Publish)
		})
	}
}

func TestConclude_AfterSuccess(t *testing.T) {
	t.Parallel()
	finish := func(t *testing.T, req plan.Request, edit func(*plan.Done)) plan.Conclusion {
		t.Helper()
		s, p := newShop(), planner("a")
		d := s.decide(p, req)
		r, _ := s.call(t, d.Plan, always)
		edit(&r.Done[0])
		stored := proto.CloneOf(d.Plan.State)
		require.Equal(t, plan.Released, p.Record(stored, req, d.Plan, r))
		return p.Conclude(req, d.Plan, stored, r)
	}
	req := plan.Request{Change: mug("Mug", 10)}
	c := finish(t, req, func(*plan.Done) {})
	require.Equal(t, plan.Finish, c.Next)
	require.True(t, c.Publish)

	c = finish(t, req, func(d *plan.Done) { d.Replayed = true })
	require.Equal(t, plan.Again, c.Next, "a replayed answer has the past state")

	rename := plan.Request{Change: mug("Mug", 10)}
	ignored := func(d *plan.Done) { d.Product.Product = nil }
	require.Equal(t, plan.Again, finish(t, rename, ignored).Next, "Stripe is reread once")
	rename.LaterRound = true
	c = finish(t, rename, ignored)
	require.Equal(t, plan.Different, c.Next)
	require.Len(t, c.Left, 1)

	keys := plan.NewLookupKeys()
	keys.LeaveWithOwner("key")
	req.Keys = keys
	c = finish(t, req, func(*plan.Done) {})
	require.Equal(t, plan.Finish, c.Next)
	require.False(t, c.Publish, "a part was left out")
}
