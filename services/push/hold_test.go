package push_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v76"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/guard"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
	"github.com/driftless-sync/driftless/services/internal/telemetry/telemetrytest"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/stripesim"
)

const (
	heldOutcome     = meshv1.OutcomeKind_OUTCOME_KIND_HELD
	approvedOutcome = meshv1.OutcomeKind_OUTCOME_KIND_APPROVED
	releasedOutcome = meshv1.OutcomeKind_OUTCOME_KIND_RELEASED
	appliedOutcome  = meshv1.OutcomeKind_OUTCOME_KIND_APPLIED
)

// TestGuard_HoldsPricesAtAHundredth: UPDATE prices SET unit_amount = unit_amount / 100.
func TestGuard_HoldsPricesAtAHundredth(t *testing.T) {
	r := newRig(t)
	r.pushWith(defaultRules)
	const products, withTwo = 40, 5
	shop := func(version uint64, amounts ...int) {
		for i := range products {
			if i < withTwo {
				r.want(numbered(i, amounts...), version)
			} else {
				r.want(numbered(i, amounts[0]), version)
			}
		}
	}
	shop(10, 1400, 2500)
	eachMug(products, func(id string) { r.applied(id, 10) })
	before := r.writes()

	shop(20, 14, 25)
	eachMug(products, func(id string) {
		hold := r.held(id, 20)
		require.Contains(t, rulesOf(hold), "amount_change")
		require.Contains(t, r.nthOutcome(heldOutcome, id, 1).GetDetail(), "-99 %: 14.00 EUR to 0.14 EUR")
	})
	require.Equal(t, before, r.writes(), "no call")

	r.approveChange("mug7", 20, "ann")
	require.Nil(t, r.applied("mug7", 20).GetHold())
	approved := r.nthOutcome(approvedOutcome, "mug7", 1)
	require.Equal(t, "1 of 1: ann: a sale", approved.GetDetail())
	require.Equal(t, []string{"ann", "a sale"}, []string{approved.GetActor(), approved.GetReason()})
	r.nthOutcome(appliedOutcome, "mug7", 2)
	after := r.writes()
	require.Equal(t, before+3, after, "a new price, the default, and the old price archived")

	shop(30, 1400, 2500)
	eachMug(products, func(id string) {
		if id == "mug7" {
			return
		}
		require.Nil(t, r.applied(id, 30).GetHold())
		require.Equal(t, "version 20 was held, and this one is not dangerous",
			r.nthOutcome(releasedOutcome, id, 1).GetDetail())
	})
	require.Equal(t, []string{"amount_change"}, rulesOf(r.held("mug7", 30)), "back up is a change as well")
	require.Equal(t, after, r.writes(), "a corrected catalog makes no call")
}

// TestGuard_HoldsTheDeletionOfAllPrices: DELETE FROM prices.
func TestGuard_HoldsTheDeletionOfAllPrices(t *testing.T) {
	r := newRig(t)
	const products = 40
	r.shop(defaultRules, products)
	before := r.writes()
	for i := range products {
		r.want(numbered(i), 20)
	}
	eachMug(products, func(id string) { require.Equal(t, []string{"no_active_price"}, rulesOf(r.held(id, 20))) })
	localtest.Holds(t, 300*time.Millisecond, func() bool { return r.writes() == before }, "no call")
	for i := range products {
		r.want(numbered(i, 1400), 30)
	}
	eachMug(products, func(id string) { require.Nil(t, r.applied(id, 30).GetHold()) })
	require.Equal(t, before, r.writes())
}

func TestGuard_LetsAsManyPricesChangeAsAllowed(t *testing.T) {
	r := newRig(t)
	const products, allowed = 45, 20
	stop := r.shop(defaultRules, products)
	require.Empty(t, r.guard().GetCounts(), "a first sync counts nothing")
	for i := range products {
		r.want(numbered(i, 1442), 20)
	}
	applied := func() (n int) {
		eachMug(products, func(id string) {
			if o := r.observed(id); o.GetVersion() == 20 && o.GetClaim() == nil {
				n++
			}
		})
		return n
	}
	require.Eventually(t, func() bool {
		return applied() == allowed && len(r.counted(guard.ReplacedPrices).GetHeld()) == products-allowed
	}, patience, 20*time.Millisecond)
	held := r.counted(guard.ReplacedPrices).GetHeld()

	// A restart keeps holds and counts.
	count, generation := r.counted(guard.ReplacedPrices), r.observed(held[0]).GetGeneration()
	stop()
	stop = r.pushWith(defaultRules)
	r.commandSync(held[0])
	r.want(numbered(99, 500, 600), 20)
	r.applied("mug99", 20)
	require.Eventually(t, func() bool { return r.observed(held[0]).GetGeneration() > generation }, patience,
		10*time.Millisecond, "reread")
	again := r.counted(guard.ReplacedPrices)
	require.Equal(t, count.GetSince().AsTime(), again.GetSince().AsTime())
	require.Equal(t, count.GetRecent(), again.GetRecent(), "a new product and a held one change no count")
	require.Equal(t, count.GetHeld(), again.GetHeld())
	for _, id := range held {
		require.Equal(t, []string{"replaced_prices"}, rulesOf(r.held(id, 20)))
		active, archived := r.prices(id)
		require.Equal(t, [2]int{1, 0}, [2]int{active, archived}, "the price of the first sync")
	}

	// Under another limit the held products are judged again, without a command.
	stop()
	more := defaultRules
	more.Prices.Least = 30
	stop = r.pushWith(more)
	require.Eventually(t, func() bool { return applied() == 30 }, patience, 20*time.Millisecond)
	stop()
	more.Prices = guard.Limit{}
	r.pushWith(more)
	require.Eventually(t, func() bool { return applied() == products }, patience, 20*time.Millisecond)
	require.Empty(t, guard.Held(r.guard()))
}

func TestGuard_HoldsAVersionOnceWhateverAsksForIt(t *testing.T) {
	r := newRig(t)
	// Two processes race for each change.
	r.shop(defaultRules, 1)
	r.pushWith(defaultRules)
	before := r.writes()
	r.want(numbered(0, 14), 20)
	since := r.held("mug0", 20).GetSince().AsTime()
	generation := r.observed("mug0").GetGeneration()
	for range 3 {
		// As reconciliation and `driftless sync` do.
		r.commandSync("mug0")
	}
	require.Eventually(t, func() bool { return r.observed("mug0").GetGeneration() == generation+3 }, patience,
		10*time.Millisecond, "reread three times")
	require.Equal(t, since, r.held("mug0", 20).GetSince().AsTime())
	r.nthOutcome(heldOutcome, "mug0", 1)
	require.Equal(t, before, r.writes())

	r.want(numbered(0, 0), 30)
	require.Equal(t, []string{"zero_amount"}, rulesOf(r.held("mug0", 30)))
	require.Equal(t, since, r.held("mug0", 30).GetSince().AsTime(), "held since the first of the versions")
	r.nthOutcome(heldOutcome, "mug0", 2)
	require.Equal(t, before, r.writes())
}

func TestApprove_NeedsTwoPeople(t *testing.T) {
	r := newRig(t)
	rules := defaultRules
	rules.Approvers = 2
	r.shop(rules, 1)
	before := r.writes()
	r.want(numbered(0, 14), 20)
	r.held("mug0", 20)

	r.approveChange("mug0", 19, "ann")
	require.Equal(t, "ann", r.nthOutcome(approvedOutcome, "mug0", 1).GetActor())
	require.Equal(t, "ignored, because version 20 is held: the approval of ann: a sale",
		r.nthOutcome(approvedOutcome, "mug0", 1).GetDetail())
	r.approveChange("mug0", 20, "ann")
	require.Equal(t, "1 of 2: ann: a sale", r.nthOutcome(approvedOutcome, "mug0", 2).GetDetail())
	r.approveChange("mug0", 20, "ann")
	r.commandSync("mug0")
	localtest.Holds(t, 300*time.Millisecond, func() bool {
		return r.writes() == before && len(r.observed("mug0").GetHold().GetApprovals()) == 1
	}, "the same person counts once")
	r.nthOutcome(approvedOutcome, "mug0", 2)

	r.approveChange("mug0", 20, "bob")
	require.Nil(t, r.applied("mug0", 20).GetHold())
	require.Equal(t, "2 of 2: bob: a sale", r.nthOutcome(approvedOutcome, "mug0", 3).GetDetail())
	r.nthOutcome(heldOutcome, "mug0", 1)
	require.Zero(t, r.outcomes(releasedOutcome, "mug0"))

	r.approveChange("mug0", 20, "cy")
	require.Contains(t, r.nthOutcome(approvedOutcome, "mug0", 4).GetDetail(), "because it is not held")
}

// TestApprove_OutlivesFailuresAndRestarts lets an approved change fail half made, and stops push.
func TestApprove_OutlivesFailuresAndRestarts(t *testing.T) {
	r := newRig(t)
	stop := r.shop(defaultRules, 1)
	r.want(numbered(0, 14), 20)
	r.held("mug0", 20)
	fault, err := r.admin.AddFault(t.Context(), stripesim.Fault{
		Kind: stripesim.FaultUnavailable, Method: http.MethodPost, Path: "/v1/products/*",
	})
	require.NoError(t, err)
	r.approveChange("mug0", 20, "ann")
	require.Eventually(t, func() bool {
		faults, err := r.admin.Faults(t.Context())
		return err == nil && faults[0].Hits > 0
	}, patience, 10*time.Millisecond)
	stop()
	active, _ := r.prices("mug0")
	require.Equal(t, 2, active, "half made")
	require.NoError(t, r.admin.RemoveFault(t.Context(), fault.ID))
	r.pushWith(defaultRules)
	require.Nil(t, r.applied("mug0", 20).GetHold())
	active, archived := r.prices("mug0")
	require.Equal(t, [2]int{1, 1}, [2]int{active, archived})
	r.nthOutcome(approvedOutcome, "mug0", 1)
	r.nthOutcome(heldOutcome, "mug0", 1)
}

// TestGuard_HoldsADangerousRepair: the catalog did not change, and somebody has edited Stripe.
func TestGuard_HoldsADangerousRepair(t *testing.T) {
	r := newRig(t)
	r.pushWith(defaultRules)
	p := numbered(0, 1400)
	p.Prices[0].CurrencyOptions = map[string]*catalogv1.CurrencyOption{"usd": {UnitAmount: "1500"}}
	r.want(p, 10)
	o := r.applied("mug0", 10)
	_, err := r.stripe.Prices.Update(o.GetProduct().GetDefaultPrice(), &stripe.PriceParams{
		CurrencyOptions: map[string]*stripe.PriceCurrencyOptionsParams{"usd": {UnitAmount: stripe.Int64(15)}},
	})
	require.NoError(t, err)
	before := r.writes()
	r.commandSync("mug0")
	require.Equal(t, []string{"amount_change"}, rulesOf(r.held("mug0", 10)))
	require.Equal(t, before, r.writes())

	r.approveChange("mug0", 10, "ann")
	require.Eventually(t, func() bool {
		o := r.observed("mug0")
		return o.GetHold() == nil && o.GetClaim() == nil && r.writes() == before+1
	}, patience, 10*time.Millisecond)
	r.want(numbered(1, 500), 10)
	r.applied("mug1", 10)
}

func TestGuard_HoldsWhatViolatesACheck(t *testing.T) {
	r := newRig(t)
	r.pushWith(guard.Config{})
	publish := func(version uint64, violations ...*catalogv1.CheckViolation) {
		require.NoError(t, r.mesh.Publish(t.Context(), topology.CatalogSubject("default", topology.Bulk, "mug0"),
			&catalogv1.ProductChange{
				Account: "default", ProductId: "mug0", Version: version,
				Operation: catalogv1.Operation_OPERATION_UPSERT, Product: numbered(0, 1400), Violations: violations,
			}, mesh.WithVersion(version)))
	}
	publish(10, &catalogv1.CheckViolation{Check: "margin", Message: "the margin is below 10 percent"})
	require.Equal(t, []string{"check:margin"}, rulesOf(r.held("mug0", 10)))
	require.Equal(t, "the margin is below 10 percent", r.nthOutcome(heldOutcome, "mug0", 1).GetDetail())
	require.Zero(t, r.writes(), "a new product as well")
	publish(20)
	require.Nil(t, r.applied("mug0", 20).GetHold())
	r.nthOutcome(releasedOutcome, "mug0", 1)
}

// TestGuard_HoldsTheArchivalOfAnExtra: an operator archives what only Stripe has, and approves that.
func TestGuard_HoldsTheArchivalOfAnExtra(t *testing.T) {
	r := newRig(t)
	stop := r.pushWith(guard.Config{Products: guard.Limit{Share: 0.001}})
	isActive := func(id string) bool {
		held, err := r.stripe.Products.Get(id, nil)
		return err == nil && held.Active
	}
	for _, id := range []string{"stray", "other"} {
		_, err := r.stripe.Products.New(&stripe.ProductParams{ID: stripe.String(id), Name: stripe.String("Stray")})
		require.NoError(t, err)
		r.command(&meshv1.SyncProduct{ProductId: id, Look: true, ArchiveExtra: true})
		require.Eventually(t, func() bool { return r.observed(id).GetHold() != nil }, patience, 10*time.Millisecond)
		require.True(t, isActive(id))
	}
	isArchived := func(id string) func() bool {
		return func() bool { return !isActive(id) && r.observed(id).GetHold() == nil }
	}
	r.approveChange("stray", 0, "ann")
	require.Eventually(t, isArchived("stray"), patience, 10*time.Millisecond)
	require.True(t, isActive("other"))

	stop()
	r.pushWith(guard.Config{})
	require.Eventually(t, isArchived("other"), patience, 10*time.Millisecond, "judged under other rules")
}

func TestGuard_TraceSaysWhyAChangeIsHeld(t *testing.T) {
	recorded := telemetrytest.Start(t)
	r := newRig(t)
	r.shop(defaultRules, 1)
	r.want(numbered(0, 14), 20)
	r.held("mug0", 20)
	require.Eventually(t, func() bool {
		return slices.ContainsFunc(recorded.Spans(), func(s tracetest.SpanStub) bool {
			attributes := attribute.NewSet(s.Attributes...)
			outcome, _ := attributes.Value(telemetry.OutcomeKey)
			rules, _ := attributes.Value(telemetry.GuardRulesKey)
			if s.Name != "claim product" || outcome.AsString() != telemetry.OutcomeHeld || len(s.Events) != 1 {
				return false
			}
			found := attribute.NewSet(s.Events[0].Attributes...)
			why, _ := found.Value(telemetry.GuardFindingKey)
			return slices.Equal(rules.AsStringSlice(), []string{"amount_change"}) &&
				strings.Contains(why.AsString(), "14.00 EUR to 0.14 EUR")
		})
	}, patience, 10*time.Millisecond)
}
