package catalog_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/catalog/catalogtest"
)

// The laws of Diff, for every state of Stripe that edits in the catalog, crashes and edits in the dashboard can
// produce.

const productID = "prod"

// account generates a Stripe account with a history, and the last desired state in it, nil if there was none.
func account(t *rapid.T) (*catalogtest.Stripe, *catalogv1.ProductChange) {
	s := &catalogtest.Stripe{ZeroTiers: rapid.Bool().Draw(t, "zero tiers")}
	// The product belongs to somebody else, and its price has a lookup key that the catalog may want.
	_, err := s.Call(catalog.CreateProduct, "", catalog.Param{
		Name:  "id",
		Value: "other",
	}, catalog.Param{Name: "name", Value: "Other"})
	require.NoError(t, err)
	_, err = s.Call(catalog.CreatePrice, "", catalog.Param{Name: "product", Value: "other"},
		catalog.Param{Name: "currency", Value: "usd"},
		catalog.Param{Name: "unit_amount", Value: "1"}, catalog.Param{Name: "lookup_key", Value: "key-b"})
	require.NoError(t, err)

	var last *catalogv1.ProductChange
	for range rapid.IntRange(0, 8).Draw(t, "past") {
		if !rapid.Bool().Draw(t, "catalog") {
			catalogtest.Dashboard(t, s, productID)
			continue
		}
		if last == nil {
			last = catalogtest.Change(productID).Draw(t, "change")
		} else {
			last = catalogtest.Edit(t, last)
		}
		steps := catalog.Diff(last, observedState(s, last))
		if len(steps) > 0 && rapid.IntRange(0, 3).Draw(t, "crash") == 0 {
			steps = steps[:rapid.IntRange(0, len(steps)-1).Draw(t, "steps before the crash")]
		}
		done, err := s.Pass(steps)
		require.NoError(t, err, "step %d of %v", done, steps)
	}
	return s, last
}

// observedState returns the observed state that push plans with: Stripe's objects, and the metadata keys that Driftless
// manages.
func observedState(s *catalogtest.Stripe, change *catalogv1.ProductChange) *catalogv1.Observed {
	o := s.Observed(productID)
	catalog.ManageMetadata(o, change)
	return o
}

// draw generates an account and the change to be made.
func draw(t *rapid.T) (*catalogtest.Stripe, *catalogv1.ProductChange) {
	s, last := account(t)
	if last == nil || rapid.IntRange(0, 3).Draw(t, "unrelated") == 0 {
		return s, catalogtest.Change(productID).Draw(t, "desired")
	}
	if rapid.IntRange(0, 3).Draw(t, "repair") == 0 {
		return s, last
	}
	return s, catalogtest.Edit(t, last)
}

func apply(t require.TestingT, s *catalogtest.Stripe, change *catalogv1.ProductChange) []catalog.Step {
	steps := catalog.Diff(change, observedState(s, change))
	done, err := s.Pass(steps)
	require.NoError(t, err, "step %d of\n%s", done, words(steps))
	return steps
}

func words(steps []catalog.Step) string {
	var b strings.Builder
	for _, s := range steps {
		fmt.Fprintln(&b, s, s.Params)
	}
	return b.String()
}

// converged requires that nothing is left to do.
func converged(t require.TestingT, s *catalogtest.Stripe, change *catalogv1.ProductChange) {
	left := catalog.Diff(change, observedState(s, change))
	require.Empty(t, left, "still to do:\n%s", words(left))
}

func TestDiff_Converges(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, change := draw(t)
		apply(t, s, change)
		converged(t, s, change)
	})
}

func TestDiff_ConvergesAfterAnyPrefix(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, change := draw(t)
		steps := catalog.Diff(change, observedState(s, change))
		for n := range steps {
			crashed := s.Clone()
			_, err := crashed.Pass(steps[:n])
			require.NoError(t, err)
			// Before push continues, Stripe may be edited, and the catalog may change.
			if rapid.Bool().Draw(t, "meanwhile") {
				catalogtest.Dashboard(t, crashed, productID)
			}
			next := change
			if rapid.Bool().Draw(t, "newer") {
				next = catalogtest.Edit(t, change)
			}
			apply(t, crashed, next)
			converged(t, crashed, next)
		}
	})
}

func TestDiff_DependsOnStatesOnly(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, change := draw(t)
		observed := observedState(s, change)
		changeBefore, observedBefore := proto.CloneOf(change), proto.CloneOf(observed)
		steps := catalog.Diff(change, observed)
		require.Equal(t, steps, catalog.Diff(change, observed))
		require.True(t, proto.Equal(changeBefore, change) && proto.Equal(observedBefore, observed),
			"Diff modified its arguments")

		// Diff must not depend on the order of prices, of observations, of unmanaged fields or of maps, so these are
		// shuffled.
		shuffled := proto.CloneOf(change)
		shuffled.UnmanagedFields = rapid.Permutation(shuffled.GetUnmanagedFields()).Draw(t, "unmanaged")
		if p := shuffled.GetProduct(); p != nil {
			p.Prices = rapid.Permutation(p.GetPrices()).Draw(t, "prices")
			p.Metadata = rebuilt(p.GetMetadata())
			for _, price := range p.GetPrices() {
				price.Metadata, price.CurrencyOptions = rebuilt(price.GetMetadata()),
					rebuilt(price.GetCurrencyOptions())
			}
		}
		observed.Prices = rapid.Permutation(observed.GetPrices()).Draw(t, "observed prices")
		observed.ManagedMetadata = rapid.Permutation(observed.GetManagedMetadata()).Draw(t, "managed")
		again := catalog.Diff(shuffled, observed)
		require.Equal(t, words(steps), words(again))
		for i := range steps {
			require.Equal(t, steps[i].IdempotencyKey("default", 3), again[i].IdempotencyKey("default", 3))
		}
		// Nor may it depend on the spelling of equal values.
		if change.GetProduct() != nil {
			shuffled.Product = catalog.Canonical(shuffled.GetProduct())
			require.Equal(t, words(steps), words(catalog.Diff(shuffled, observed)))
		}
	})
}

// rebuilt returns an equal map that was filled in another order.
func rebuilt[V any](m map[string]V) map[string]V {
	if m == nil {
		return nil
	}
	out := map[string]V{}
	for _, k := range slices.Backward(slices.Sorted(maps.Keys(m))) {
		out[k] = m[k]
	}
	return out
}

func TestDiff_IsIndependentOfEditOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, _ := account(t)
		first, second := catalogtest.Change(productID).Draw(t, "first"), catalogtest.Change(productID).Draw(t, "second")
		first.UnmanagedFields, second.UnmanagedFields = nil, nil
		last := catalogtest.Change(productID).Draw(t, "last")
		last.UnmanagedFields = nil
		one, other := s.Clone(), s.Clone()
		for _, change := range []*catalogv1.ProductChange{first, second, last} {
			apply(t, one, change)
		}
		for _, change := range []*catalogv1.ProductChange{second, first, last} {
			apply(t, other, change)
		}
		if last.GetProduct() != nil {
			require.Equal(t, onSale(one, last), onSale(other, last))
		}
	})
}

// onSale returns what a customer can see of the wanted state: the product and its active prices, without Stripe's ids.
func onSale(s *catalogtest.Stripe, change *catalogv1.ProductChange) []string {
	o := s.Observed(productID)
	ids := map[string]string{}
	var out []string
	for _, inStripe := range o.GetPrices() {
		p := catalog.CanonicalPrice(inStripe.GetPrice())
		ids[inStripe.GetStripeId()] = cmp.Or(p.GetId(), inStripe.GetStripeId())
		if p.GetActive() && p.GetId() != "" {
			keepKeys(p.GetMetadata(), wanted(change, p.GetId()).GetMetadata())
			keepLenient(p.GetRecurring(), wanted(change, p.GetId()).GetRecurring())
			out = append(out, deterministic(p))
		}
	}
	slices.Sort(out)
	p := catalog.Canonical(o.GetProduct())
	p.DefaultPrice = ids[p.GetDefaultPrice()]
	if change.GetProduct().Shippable == nil {
		// Stripe cannot clear the field, so it keeps the old value.
		p.Shippable = nil
	}
	keepKeys(p.GetMetadata(), change.GetProduct().GetMetadata())
	return append(out, deterministic(p))
}

// keepLenient drops lenient parts that the catalog does not give. They stay as they were in Stripe.
func keepLenient(r, wanted *catalogv1.Recurring) {
	if r == nil {
		return
	}
	if wanted.GetAggregateUsage() == "" {
		r.AggregateUsage = nil
	}
	if wanted != nil && wanted.TrialPeriodDays == nil {
		r.TrialPeriodDays = nil
	}
}

// keepKeys drops keys that others wrote. For example, a duplicate of a price has the keys of the original.
func keepKeys(m, keep map[string]string) {
	maps.DeleteFunc(m, func(k, _ string) bool {
		_, ok := keep[k]
		return !ok
	})
}

func deterministic(m proto.Message) string {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func TestDiff_CreatesProductWithFewestCalls(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		change := upsert(catalogtest.Product(productID).Draw(t, "product"))
		steps := apply(t, &catalogtest.Stripe{}, change)
		calls := 1
		for _, p := range change.GetProduct().GetPrices() {
			if p.Active != nil && !p.GetActive() {
				continue
			}
			calls++
			byItself := len(p.GetTiers()) > 0 || p.GetTransformQuantity() != nil ||
				p.GetRecurring().GetUsageType() == "metered" ||
				p.GetRecurring().GetTrialPeriodDays() > 0
			if p.GetId() == change.GetProduct().GetDefaultPrice() && byItself {
				calls++
			}
		}
		require.Len(t, steps, calls, words(steps))
	})
}
