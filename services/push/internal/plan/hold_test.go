package plan_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog/catalogtest"
	"github.com/driftless-sync/driftless/services/internal/guard"
	"github.com/driftless-sync/driftless/services/push/internal/plan"
)

var rules = guard.Config{
	AmountChange: 50, ZeroAmount: true, NoActivePrice: true, NoDefaultPrice: true,
	Prices: guard.Limit{Share: 0.1, Least: 1}, Currencies: guard.Limit{Share: 0.1},
	Products: guard.Limit{Share: 0.1},
}

func guarded(holder string) *plan.Planner {
	p := planner(holder)
	p.Guard = rules
	return p
}

// guardedShop is a shop whose pushes ask the guard.
type guardedShop struct {
	*shop
	record *meshv1.Guard
	// mustSell means that the product was on sale with a price when the guard judged its latest change, and that nobody
	// has approved one since.
	mustSell bool
}

func newGuardedShop() *guardedShop { return &guardedShop{shop: newShop(), record: &meshv1.Guard{}} }

// round makes a round as push does: the guard is asked before the claim.
func (s *guardedShop) round(t require.TestingT, p *plan.Planner, req plan.Request, fateOf func() fate) (held bool) {
	d, held := s.claim(p, req)
	if d.Action == plan.Call && !held {
		if r, alive := s.call(t, d.Plan, fateOf); alive {
			require.Equal(t, plan.Released, p.Record(s.observed, req, d.Plan, r))
		}
	}
	return held
}

// claim decides and asks the guard, and stores the claim or the hold.
func (s *guardedShop) claim(p *plan.Planner, req plan.Request) (d plan.Decision, held bool) {
	d = s.decide(p, req)
	if d.Plan == nil {
		return d, false
	}
	totals := guard.NewTotals(s.record, s.now)
	totals.Add(s.observed)
	if findings := p.Judge(d, s.record, totals); len(findings) > 0 {
		s.observed, _ = plan.Hold(req, d, findings)
		return d, true
	}
	if d.Report != nil {
		active, sold := s.isOnSale()
		s.mustSell = active && sold
	}
	s.observed = proto.CloneOf(d.Plan.State)
	return d, false
}

// isOnSale reports whether Stripe has the product active, and whether an active price sells it.
func (s *guardedShop) isOnSale() (active, sold bool) {
	product, prices := s.stripe.Whole(productID)
	for _, p := range prices {
		sold = sold || p.Price.GetActive()
	}
	return product.Product != nil && product.Product.GetActive(), sold
}

// TestJudge_MakesNoCallForAHeldProduct edits the catalog at random while calls fail and processes die. A held product
// has a finding and no call, and a product on sale keeps a price unless somebody approved that.
func TestJudge_MakesNoCallForAHeldProduct(t *testing.T) {
	t.Parallel()
	held := 0
	rapid.Check(t, func(t *rapid.T) {
		s, change := newGuardedShop(), catalogtest.Change(productID).Draw(t, "first")
		version := uint64(1)
		for range rapid.IntRange(1, 12).Draw(t, "rounds") {
			switch rapid.IntRange(0, 5).Draw(t, "what") {
			case 0, 1, 2:
				change, version = catalogtest.Edit(t, change), version+1
			case 3:
				result, _, _ := guarded("a").Approve(s.observed, version, "ann", "wanted", s.now)
				s.mustSell = s.mustSell && result == plan.NotHeld
			}
			before, intents, calls := s.observed, len(s.observed.GetIntents()), len(s.answers)
			holder := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "process")
			if s.round(t, guarded(holder), want(change, version), anyFate(t)) {
				held++
				require.Len(t, s.answers, calls, "no call")
				require.Len(t, s.observed.GetIntents(), intents)
				require.Nil(t, s.observed.GetClaim())
				require.NotEmpty(t, s.observed.GetHold().GetFindings())
				require.Equal(t, version, s.observed.GetHold().GetVersion())
				require.Less(t, before.GetVersion(), version, "nobody edits Stripe, so an applied version stays equal")
			} else if hold := s.observed.GetHold(); hold != nil {
				busy := s.observed.GetClaim() != nil
				require.True(t, hold.GetApproved() || busy, "what may be made is not held")
			}
			active, sold := s.isOnSale()
			require.False(t, active && s.mustSell && !sold, "on sale without a price")
			s.now = s.now.Add(rapid.SampledFrom([]time.Duration{
				time.Second, plan.ClaimTimeout, 10 * time.Minute, 25 * time.Hour,
			}).Draw(t, "pause"))
		}
	})
	require.NotZero(t, held)
}

// TestJudge_FinishesWhatItAdmitted kills pushes and fails calls between the calls of an admitted or approved version.
// The version is applied in full without another approval.
func TestJudge_FinishesWhatItAdmitted(t *testing.T) {
	t.Parallel()
	halfMade := 0
	rapid.Check(t, func(t *rapid.T) {
		s, change := newGuardedShop(), catalogtest.Change(productID).Draw(t, "first")
		version := uint64(1)
		require.False(t, s.round(t, guarded("a"), want(change, version), always), "the first sync")
		for range rapid.IntRange(1, 4).Draw(t, "edits") {
			change, version = catalogtest.Edit(t, change), version+1
			req := want(change, version)
			made := len(s.answers)
			if s.round(t, guarded("a"), req, anyFate(t)) {
				_, number, needed := guarded("a").Approve(s.observed, version, "ann", "wanted", s.now)
				require.Equal(t, [2]int{1, 1}, [2]int{number, needed})
			}
			s.now = s.now.Add(plan.ClaimTimeout)
			for range rapid.IntRange(0, 3).Draw(t, "attempts") {
				require.False(t, s.round(t, guarded("b"), req, anyFate(t)))
				s.now = s.now.Add(plan.ClaimTimeout)
				if len(s.answers) > made && s.observed.GetVersion() < version {
					halfMade++
				}
			}
			s.now = s.now.Add(time.Hour)
			for range 3 {
				require.False(t, s.round(t, guarded("b"), req, always))
			}
			require.Equal(t, version, s.observed.GetVersion())
			require.Nil(t, s.observed.GetHold())
			require.Zero(t, s.observed.GetAdmittedVersion())
		}
	})
	require.NotZero(t, halfMade)
}

// sold returns a desired state with one price.
func sold(amount string, version uint64) *catalogv1.ProductChange {
	c := mug("Mug", version)
	c.Product.DefaultPrice = "one"
	c.Product.Prices = []*catalogv1.Price{{Id: "one", Currency: "eur", UnitAmount: amount}}
	return c
}

// cheap returns a shop that sells for 14.00 EUR, and holds a version that sells for 0.14 EUR.
func cheap(t *testing.T) (*guardedShop, plan.Request) {
	t.Helper()
	s := newGuardedShop()
	require.False(t, s.round(t, guarded("a"), want(sold("1400", 0), 1), always))
	require.Equal(t, uint64(1), s.observed.GetVersion())
	req := want(sold("14", 0), 2)
	require.True(t, s.round(t, guarded("a"), req, always))
	return s, req
}

func TestHold_StaysTheSameUntilTheStateChanges(t *testing.T) {
	t.Parallel()
	s, req := cheap(t)
	hold := proto.CloneOf(s.observed.GetHold())
	require.Equal(t, []string{"amount_change"}, plan.HeldBy(hold))
	require.Equal(t, "price one would change by -99 %: 14.00 EUR to 0.14 EUR; the limit is 50 %",
		plan.DescribeHold(hold))

	s.now = s.now.Add(time.Minute)
	d := s.decide(guarded("b"), req)
	findings := guarded("b").Judge(d, s.record, nil)
	again, isNew := plan.Hold(req, d, findings)
	require.False(t, isNew, "delivered again")
	require.True(t, proto.Equal(hold, again.GetHold()))

	later := want(sold("7", 0), 3)
	d = s.decide(guarded("b"), later)
	next, isNew := plan.Hold(later, d, guarded("b").Judge(d, s.record, nil))
	require.True(t, isNew)
	require.Equal(t, hold.GetSince().AsTime(), next.GetHold().GetSince().AsTime(), "a later version keeps the time")

	s.observed = next
	require.Equal(t, plan.Outdated, s.decide(guarded("b"), req).Action, "a later version is held")
	req.Force = false
	require.Equal(t, plan.Superseded, s.decide(guarded("b"), req).Action)
}

func TestHold_EndsWhenTheCatalogIsCorrected(t *testing.T) {
	t.Parallel()
	s, _ := cheap(t)
	calls := len(s.answers)
	req := want(sold("1400", 0), 3)
	d := s.decide(guarded("a"), req)
	require.Equal(t, plan.Store, d.Action)
	require.True(t, d.Publish)
	guarded("a").Release(d)
	require.Equal(t, d.Observed.GetHold().GetVersion(), d.Plan.State.GetReleased().GetHeldVersion())
	require.Equal(t, uint64(3), d.Plan.State.GetReleased().GetVersion())
	require.False(t, s.round(t, guarded("a"), req, always))
	require.Len(t, s.answers, calls)
	require.Nil(t, s.observed.GetHold())
	require.Equal(t, uint64(3), s.observed.GetVersion())
}

func TestApprove_NeedsAsManyPeopleAsConfigured(t *testing.T) {
	t.Parallel()
	s, req := cheap(t)
	p := guarded("a")
	p.Guard.Approvers = 2
	approve := func(version uint64, actor string) plan.Approval {
		result, _, needed := p.Approve(s.observed, version, actor, "a sale", s.now)
		if result != plan.NotHeld {
			require.Equal(t, 2, needed)
		}
		return result
	}
	require.Equal(t, plan.NotHeld, approve(1, "ann"))
	require.Equal(t, plan.Added, approve(2, "ann"))
	require.Equal(t, plan.Repeated, approve(2, "ann"))
	require.True(t, s.round(t, p, req, always), "one is not enough")
	require.Len(t, s.observed.GetHold().GetApprovals(), 1, "the approval stays")
	require.Equal(t, plan.Added, approve(2, "bob"))
	require.False(t, s.round(t, p, req, func() fate { return refusedBefore }))
	require.True(t, s.observed.GetHold().GetApproved(), "a refused call does not use up the approvals")
	require.False(t, s.round(t, p, req, always))
	require.Equal(t, uint64(2), s.observed.GetVersion())
	require.Nil(t, s.observed.GetHold())
}

func TestApprove_CoversNoLaterVersion(t *testing.T) {
	t.Parallel()
	s, _ := cheap(t)
	result, _, _ := guarded("a").Approve(s.observed, 2, "ann", "a sale", s.now)
	require.Equal(t, plan.Added, result)
	require.True(t, s.round(t, guarded("a"), want(sold("7", 0), 3), always))
	require.Empty(t, s.observed.GetHold().GetApprovals())
	require.False(t, s.observed.GetHold().GetApproved())
}

func TestRecord_JudgesAgainWhatChangedNothing(t *testing.T) {
	t.Parallel()
	s := newGuardedShop()
	require.False(t, s.round(t, guarded("a"), want(sold("1400", 0), 1), always))
	req := want(sold("1500", 0), 2)
	require.False(t, s.round(t, guarded("a"), req, func() fate { return refusedBefore }))
	require.Zero(t, s.observed.GetAdmittedVersion(), "no call was made")
	require.False(t, s.round(t, guarded("a"), req, func() fate { return answerLost }))
	require.Equal(t, uint64(2), s.observed.GetAdmittedVersion())
}

// TestJudge_KnowsAProductWhoseFirstSyncFailed: Stripe makes a product with its default price in one call. The price
// gets its mark with the next one.
func TestJudge_KnowsAProductWhoseFirstSyncFailed(t *testing.T) {
	t.Parallel()
	s, calls := newGuardedShop(), 0
	require.False(t, s.round(t, guarded("a"), want(sold("1400", 0), 1), func() fate {
		if calls++; calls == 1 {
			return succeeds
		}
		return refusedBefore
	}))
	require.Zero(t, s.observed.GetVersion())
	_, isSold := s.isOnSale()
	require.True(t, isSold)
	require.True(t, s.round(t, guarded("a"), want(mug("Mug", 2), 2), always))
	require.Equal(t, []string{"no_active_price"}, plan.HeldBy(s.observed.GetHold()))
}

func TestHold_BoundsItsFindings(t *testing.T) {
	t.Parallel()
	var findings []guard.Finding
	for i := range 1000 {
		findings = append(findings, guard.Finding{Rule: guard.ZeroAmount, Message: fmt.Sprint("price ", i)})
	}
	s := newShop()
	d := s.decide(planner("a"), plan.Request{Change: mug("Mug", 1)})
	o, isNew := plan.Hold(plan.Request{Change: mug("Mug", 1)}, d, findings)
	require.True(t, isNew)
	require.Len(t, o.GetHold().GetFindings(), 100)
	require.Equal(t, "price 0; price 1; price 2; and 97 more", plan.DescribeHold(o.GetHold()))
	require.Nil(t, o.GetClaim())
	require.Empty(t, o.GetIntents())
}
