package plan_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/push/internal/plan"
)

func TestRecord_AsksForARereadAfterChangesByOthers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		meanwhile func(*catalogv1.Observed)
		stale     bool
	}{
		"nothing": {meanwhile: func(*catalogv1.Observed) {}},
		"an edit": {meanwhile: func(o *catalogv1.Observed) { o.Product.Description = "by hand" }, stale: true},
		"a price with Driftless's mark": {meanwhile: func(o *catalogv1.Observed) {
			price := &catalogv1.Price{Id: "one"}
			o.Prices = append(o.Prices, &catalogv1.ObservedPrice{StripeId: "price_9", Price: price})
		}, stale: true},
		"a price of a sale": {meanwhile: func(o *catalogv1.Observed) {
			o.Prices = append(o.Prices, &catalogv1.ObservedPrice{StripeId: "price_9", Price: &catalogv1.Price{}})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, p := newShop(), planner("a")
			s.round(t, p, plan.Request{Change: mug("Mug", 10)}, always)
			req := plan.Request{Change: mug("Cup", 11)}
			d := s.decide(p, req)
			r, _ := s.call(t, d.Plan, always)
			stored := proto.CloneOf(d.Plan.State)
			c.meanwhile(stored)
			require.Equal(t, plan.Released, p.Record(stored, req, d.Plan, r))
			require.Equal(t, c.stale, stored.GetStale())
			require.Equal(t, !c.stale, stored.GetVersion() == 11, "a stale state has no new version")
		})
	}
}

// Stripe moves a lookup key without a word about the price that has lost it.
func TestRecord_ClearsAKeyThatMovedFromAnotherPrice(t *testing.T) {
	t.Parallel()
	s, p := newShop(), planner("a")
	price := func(amount string) *catalogv1.ProductChange {
		change := mug("Mug", 10)
		change.Product.Prices = []*catalogv1.Price{{Id: "one", Currency: "eur", UnitAmount: amount}}
		return change
	}
	s.round(t, p, plan.Request{Change: price("1400")}, always)
	before := s.observed.GetPrices()[0].GetStripeId()
	require.Equal(t, "one", catalog.FindPrice(s.observed, before).GetPrice().GetLookupKey())
	calls := 0
	s.round(t, p, plan.Request{Change: price("1600"), Force: true}, func() fate {
		if calls++; calls == 2 {
			return refusedBefore // the call that archives the price would show it
		}
		return succeeds
	})
	require.Equal(t, 2, calls)
	require.Len(t, s.observed.GetPrices(), 2)
	require.Empty(t, catalog.FindPrice(s.observed, before).GetPrice().GetLookupKey())
}
