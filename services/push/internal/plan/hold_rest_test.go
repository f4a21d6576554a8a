package plan_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/push/internal/plan"
)

// pass makes a pass as push does: its rounds leave out what Stripe has refused.
func (s *guardedShop) pass(t *testing.T, p *plan.Planner, req plan.Request) (held bool) {
	t.Helper()
	req.Skips = &plan.Skips{}
	for range 10 {
		d, held := s.claim(p, req)
		if d.Action != plan.Call || held {
			return held
		}
		r, _ := s.call(t, d.Plan, always)
		require.Equal(t, plan.Released, p.Record(s.observed, req, d.Plan, r))
		switch c := p.Conclude(req, d.Plan, s.observed, r); c.Next {
		case plan.Finish:
			return false
		case plan.Again:
			req.Reread, req.LaterRound = true, true
		case plan.Refused:
			require.True(t, req.Skips.Add(c.Failed))
			req.Reread, req.LaterRound = false, true
		default:
			require.Fail(t, "unexpected end", "%+v", c)
		}
	}
	require.Fail(t, "the pass does not end")
	return false
}

func (s *guardedShop) approve(t *testing.T, version uint64, actor string) {
	t.Helper()
	result, _, _ := guarded("a").Approve(s.observed, version, actor, "a sale", s.now)
	require.Equal(t, plan.Added, result)
}

func refusesToCreate(price string) func(catalog.Step) bool {
	return func(step catalog.Step) bool { return step.Kind == catalog.CreatePrice && step.PriceID == price }
}

// TestApprove_CoversNoRestThatIsMoreDangerous: what is left without the refused price takes the product off sale.
func TestApprove_CoversNoRestThatIsMoreDangerous(t *testing.T) {
	t.Parallel()
	s := newGuardedShop()
	onePrice := func(id, amount string, version uint64) plan.Request {
		c := mug("Mug", version)
		c.Product.Prices = []*catalogv1.Price{{Id: id, Currency: "eur", UnitAmount: amount}}
		return want(c, version)
	}
	require.False(t, s.pass(t, guarded("a"), onePrice("old", "1400", 1)))
	req := onePrice("new", "500", 2)
	require.True(t, s.pass(t, guarded("a"), req))
	require.Equal(t, []string{"amount_change"}, plan.HeldBy(s.observed.GetHold()))
	s.approve(t, 2, "ann")

	s.refuses = refusesToCreate("new")
	s.now = s.now.Add(time.Minute)
	require.True(t, s.pass(t, guarded("a"), req))
	_, isSold := s.isOnSale()
	require.True(t, isSold)
	require.Equal(t, []string{"no_active_price"}, plan.HeldBy(s.observed.GetHold()))
	require.False(t, s.observed.GetHold().GetApproved())
	require.Empty(t, s.observed.GetHold().GetApprovals(), "nobody has approved that")
	require.Equal(t, s.now, s.observed.GetHold().GetSince().AsTime(), "the approved hold has ended")

	s.approve(t, 2, "ann")
	require.False(t, s.pass(t, guarded("a"), req), "now somebody has")
	_, isSold = s.isOnSale()
	require.False(t, isSold)
	require.Equal(t, uint64(1), s.observed.GetVersion(), "the version is not applied in full")
}

// TestApprove_CoversTheRest: a refused part takes nothing away from what was approved beside it.
func TestApprove_CoversTheRest(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]*catalogv1.ProductChange{
		"amount_change": sold("14", 0),
		"check:margin": func() *catalogv1.ProductChange {
			c := sold("1500", 0)
			c.Violations = []*catalogv1.CheckViolation{{Check: "margin", Message: "the margin is below 10 percent"}}
			return c
		}(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newGuardedShop()
			require.False(t, s.pass(t, guarded("a"), want(sold("1400", 0), 1)))
			change.Product.Prices = append([]*catalogv1.Price{{Id: "large", Currency: "eur", UnitAmount: "1900"}},
				change.GetProduct().GetPrices()...)
			req := want(change, 2)
			require.True(t, s.pass(t, guarded("a"), req))
			require.Equal(t, []string{name}, plan.HeldBy(s.observed.GetHold()))
			s.approve(t, 2, "ann")

			s.refuses = refusesToCreate("large")
			require.False(t, s.pass(t, guarded("a"), req))
			require.Equal(t, change.GetProduct().GetPrices()[1].GetUnitAmount(), catalog.FindPrice(s.observed,
				s.observed.GetProduct().GetDefaultPrice()).GetPrice().GetUnitAmount(), "the rest is made")
			require.Equal(t, uint64(1), s.observed.GetVersion())
			require.True(t, s.observed.GetHold().GetApproved(), "the approval stays until the version is applied")

			s.refuses = nil
			require.False(t, s.pass(t, guarded("a"), req), "a retry needs no other approval")
			require.Equal(t, uint64(2), s.observed.GetVersion())
			require.Nil(t, s.observed.GetHold())
		})
	}
}

func TestApprove_CoversNoOtherExceptions(t *testing.T) {
	t.Parallel()
	for name, exceptions := range map[string]catalog.Exceptions{
		"overwrite": {Overwrite: []string{"name"}}, "leave": {Leave: []string{"name"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, req := cheap(t)
			s.approve(t, 2, "ann")
			other := req
			other.Exceptions = exceptions
			require.True(t, s.pass(t, guarded("a"), other))
			require.Empty(t, s.observed.GetHold().GetApprovals())
			s.approve(t, 2, "ann")
			require.False(t, s.pass(t, guarded("a"), other))
			require.Equal(t, uint64(2), s.observed.GetVersion())
		})
	}
}
