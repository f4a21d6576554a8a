package catalog_test

import (
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

// These are the invariants of Diff: other people's work, a price to sell at, and Stripe's ids where they can stay.

func TestDiff_KeepsForeignMetadataAndRemovesManagedKeys(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, change := draw(t)
		before := observedState(s, change)
		apply(t, s, change)
		after := s.Observed(productID)
		if before.GetProduct() != nil {
			checkMetadata(t, without(before.GetProduct().GetMetadata(), catalog.AbsenceMarker),
				without(after.GetProduct().GetMetadata(), catalog.AbsenceMarker),
				change.GetProduct().GetMetadata(), before.GetManagedMetadata(), owns(change, "metadata"))
		}
		for _, was := range before.GetPrices() {
			is := find(after, was.GetStripeId())
			want := wanted(change, was.GetPrice().GetId())
			written := is.GetPrice().GetActive() && want != nil
			if written && !was.GetPrice().GetActive() && !owns(change, "prices.metadata") {
				// It takes over what others have written on the price that it replaces.
				requireKeys(t, was.GetPrice().GetMetadata(), is.GetPrice().GetMetadata())
				continue
			}
			checkMetadata(t, without(was.GetPrice().GetMetadata(), catalog.PriceMarker, catalog.AbsenceMarker),
				without(is.GetPrice().GetMetadata(), catalog.PriceMarker, catalog.AbsenceMarker),
				want.GetMetadata(), was.GetManagedMetadata(), written && owns(change, "prices.metadata"))
		}
	})
}

// requireKeys requires that metadata keeps its keys. Values may change.
func requireKeys(t *rapid.T, was, is map[string]string) {
	for k := range was {
		if k != catalog.AbsenceMarker {
			require.Contains(t, is, k)
		}
	}
}

// checkMetadata requires that metadata stays, except for the managed keys, and the wanted ones if the object was to be
// written.
func checkMetadata(t *rapid.T, was, is, want map[string]string, managed []string, written bool) {
	expect := map[string]string{}
	for k, v := range was {
		if !written || !slices.Contains(managed, k) {
			expect[k] = v
		}
	}
	if written {
		maps.Copy(expect, want)
	}
	if len(expect) == 0 {
		require.Empty(t, is)
		return
	}
	require.Equal(t, expect, is)
}

func TestDiff_LeavesForeignPricesAlone(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, change := draw(t)
		before := s.Clone()
		taken := map[string]bool{}
		for _, step := range apply(t, s, change) {
			if key, ok := step.Param("lookup_key"); ok {
				taken[key] = true
			}
		}
		for _, id := range before.PriceIDs("") {
			was, is := before.Price(id).Price, s.Price(id).Price
			if was.GetId() != "" {
				continue
			}
			// A lookup key is unique in an account, and the catalog decides which price has it.
			if taken[was.GetLookupKey()] {
				was.LookupKey = ""
			}
			require.True(t, proto.Equal(was, is), "%s: was %v, is %v", id, was, is)
		}
		require.True(t, proto.Equal(before.Product("other").Product, s.Product("other").Product))
	})
}

func TestDiff_LeavesUnmanagedFieldsAlone(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, change := draw(t)
		if change.GetProduct() == nil {
			return
		}
		if len(change.GetUnmanagedFields()) == 0 {
			change = proto.CloneOf(change)
			change.UnmanagedFields = rapid.SliceOfNDistinct(rapid.SampledFrom(catalogtest.UnmanagedFields), 1, 8,
				rapid.ID[string]).Draw(t, "unmanaged")
		}
		before := observedState(s, change)
		steps := apply(t, s, change)
		after := s.Observed(productID)
		back := before.GetProduct().GetMetadata()[catalog.AbsenceMarker] != ""
		for _, o := range []*catalogv1.Observed{before, after} {
			delete(o.GetProduct().GetMetadata(), catalog.AbsenceMarker)
		}

		for _, f := range change.GetUnmanagedFields() {
			priceField, ofPrice := strings.CutPrefix(f, "prices.")
			if !ofPrice {
				if before.GetProduct() == nil {
					continue // Stripe's own defaults
				}
				if f == "default_price" {
					// The default must move off a price that is archived. Otherwise it stays.
					def := before.GetProduct().GetDefaultPrice()
					if find(after, def).GetPrice().GetActive() {
						require.Equal(t, def, after.GetProduct().GetDefaultPrice())
					}
					continue
				}
				if f == "active" && back {
					continue // Driftless reverts its own change.
				}
				require.Equal(t, value(before.GetProduct(), f), value(after.GetProduct(), f), "field %s", f)
				continue
			}
			for _, step := range steps {
				// No step changes the field on an existing price, unless the price replaces another one.
				if step.Kind != catalog.UpdatePrice || priceField == "active" || priceField == "metadata" {
					continue
				}
				was := representingPrice(before, step.PriceID)
				if step.StripePriceID == "" || was.GetStripeId() != step.StripePriceID ||
					priceField == "lookup_key" && was.GetPrice().GetLookupKey() == "" {
					continue // Every price gets a lookup key, so that it can be found.
				}
				for _, p := range step.Params {
					require.False(t, p.Name == priceField || strings.HasPrefix(p.Name, priceField+"["),
						"step %s writes %s", step, p.Name)
				}
			}
			for _, want := range change.GetProduct().GetPrices() {
				was, is := representingPrice(before, want.GetId()), representingPrice(after, want.GetId())
				if was == nil || is == nil || !was.GetPrice().GetActive() || !mutable[priceField] {
					continue
				}
				if priceField == "lookup_key" &&
					(was.GetPrice().GetLookupKey() == "" || withoutPart(steps, was, want.GetId())) {
					continue
				}
				if priceField == "metadata" {
					was, is = proto.CloneOf(was), proto.CloneOf(is)
					delete(was.GetPrice().GetMetadata(), catalog.AbsenceMarker)
					delete(is.GetPrice().GetMetadata(), catalog.AbsenceMarker)
					if was.GetStripeId() != is.GetStripeId() {
						// A price that goes on sale again has keys of its own as well.
						maps.DeleteFunc(is.GetPrice().GetMetadata(), func(k, _ string) bool {
							_, had := was.GetPrice().GetMetadata()[k]
							return !had
						})
					}
				}
				require.Equal(t, value(unmarked(was), priceField), value(unmarked(is), priceField),
					"price %s, field %s", want.GetId(), priceField)
			}
		}
	})
}

// mutable are the fields of a price that can stay whatever happens to the others.
var mutable = map[string]bool{
	"active":       true,
	"lookup_key":   true,
	"nickname":     true,
	"tax_behavior": true,
	"metadata":     true,
}

func withoutPart(steps []catalog.Step, was *catalogv1.ObservedPrice, id string) bool {
	return slices.ContainsFunc(steps, func(s catalog.Step) bool {
		key, ok := s.Param("lookup_key")
		return ok && key == was.GetPrice().GetLookupKey() && s.PriceID != id
	})
}

// representingPrice returns the price that represents a catalog price: the only active one, or nil if there are several
// or none.
func representingPrice(o *catalogv1.Observed, id string) *catalogv1.ObservedPrice {
	var found *catalogv1.ObservedPrice
	for _, p := range o.GetPrices() {
		if p.GetPrice().GetId() != id || !p.GetPrice().GetActive() {
			continue
		}
		if found != nil {
			return nil
		}
		found = p
	}
	return found
}

func TestDiff_AlwaysKeepsActivePrice(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, change := draw(t)
		managedDefault := owns(change, "default_price")
		if change.GetProduct() == nil || !managedDefault || change.GetProduct().GetDefaultPrice() == "" ||
			!owns(change, "prices.active") {
			return
		}
		sellable := func(s *catalogtest.Stripe) bool {
			o := s.Observed(productID)
			def := find(o, o.GetProduct().GetDefaultPrice())
			return def.GetPrice().GetActive()
		}
		could := sellable(s)
		steps := catalog.Diff(change, observedState(s, change))
		for n := range len(steps) + 1 {
			after := s.Clone()
			_, err := after.Pass(steps[:n])
			require.NoError(t, err)
			require.True(t, !could || sellable(after), "nothing to sell at after %d of\n%s", n, words(steps))
			could = could || sellable(after)
		}
		require.True(t, could, "no default price in the end:\n%s", words(steps))
	})
}

func TestDiff_ReplacesPriceInSafeOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, change, id := drawSelling(t)
		old := representingPrice(s.Observed(productID), id).GetStripeId()
		edited := withAmount(change, id, "777")
		steps := apply(t, s, edited)
		position := func(what func(catalog.Step) bool) int { return slices.IndexFunc(steps, what) }
		created := position(func(s catalog.Step) bool { return s.Kind == catalog.CreatePrice && s.PriceID == id })
		archived := position(func(s catalog.Step) bool { return s.StripePriceID == old && has(s, "active", "false") })
		require.GreaterOrEqual(t, created, 0)
		require.Greater(t, archived, created)
		if change.GetProduct().GetDefaultPrice() == id {
			repointed := position(func(s catalog.Step) bool {
				return slices.Contains(s.Params, catalog.Param{Name: "default_price", PriceRef: id})
			})
			require.Greater(t, repointed, created)
			require.Greater(t, archived, repointed)
		}
	})
}

func TestDiff_ReusesArchivedPrice(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, change, id := drawSelling(t)
		first := representingPrice(s.Observed(productID), id).GetStripeId()
		apply(t, s, withAmount(change, id, "777"))
		count := len(s.PriceIDs(productID))
		apply(t, s, change)
		require.Len(t, s.PriceIDs(productID), count, "a price was created although an archived one fits")
		require.Equal(t, first, representingPrice(s.Observed(productID), id).GetStripeId())
		apply(t, s, withAmount(change, id, "777"))
		require.Len(t, s.PriceIDs(productID), count)
		oneActivePriceEach(t, s, change)
	})
}

func TestDiff_LeavesOneActivePriceForEachCatalogPrice(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, change := draw(t)
		if slices.Contains(change.GetUnmanagedFields(), "prices.active") {
			return
		}
		apply(t, s, change)
		oneActivePriceEach(t, s, change)
	})
}

func oneActivePriceEach(t *rapid.T, s *catalogtest.Stripe, change *catalogv1.ProductChange) {
	want, got := map[string]int{}, map[string]int{}
	for _, p := range change.GetProduct().GetPrices() {
		if p.Active == nil || p.GetActive() {
			want[p.GetId()] = 1
		}
	}
	for _, p := range s.Observed(productID).GetPrices() {
		if p.GetPrice().GetId() != "" && p.GetPrice().GetActive() {
			got[p.GetPrice().GetId()]++
		}
	}
	require.Equal(t, want, got)
}

// drawSelling generates an account with a product that has an active price with a whole amount. It also returns the
// desired state and the price's id.
func drawSelling(t *rapid.T) (*catalogtest.Stripe, *catalogv1.ProductChange, string) {
	s, _ := account(t)
	change := &catalogv1.ProductChange{ProductId: productID, Product: catalogtest.Product(productID).Draw(t, "product")}
	const id = "sold"
	change.Product.Prices = append(change.GetProduct().GetPrices(), &catalogv1.Price{
		Id:         id,
		Currency:   "usd",
		UnitAmount: "1000",
	})
	if rapid.Bool().Draw(t, "is default") {
		change.Product.DefaultPrice = id
	}
	apply(t, s, change)
	return s, change, id
}

func withAmount(change *catalogv1.ProductChange, id, amount string) *catalogv1.ProductChange {
	out := proto.CloneOf(change)
	wanted(out, id).UnitAmount = amount
	return out
}

func has(s catalog.Step, name, value string) bool {
	v, ok := s.Param(name)
	return ok && v == value
}

func owns(change *catalogv1.ProductChange, field string) bool {
	return change.GetProduct() != nil && !slices.Contains(change.GetUnmanagedFields(), field)
}

func wanted(change *catalogv1.ProductChange, id string) *catalogv1.Price {
	for _, p := range change.GetProduct().GetPrices() {
		if p.GetId() == id {
			return p
		}
	}
	return nil
}

func find(o *catalogv1.Observed, stripeID string) *catalogv1.ObservedPrice {
	for _, p := range o.GetPrices() {
		if p.GetStripeId() == stripeID {
			return p
		}
	}
	return nil
}

func without(m map[string]string, keys ...string) map[string]string {
	out := map[string]string{}
	for k, v := range m {
		if !slices.Contains(keys, k) {
			out[k] = v
		}
	}
	return out
}

func unmarked(p *catalogv1.ObservedPrice) *catalogv1.Price {
	out := catalog.CanonicalPrice(p.GetPrice())
	delete(out.Metadata, catalog.PriceMarker)
	return out
}

// value returns a field's value as text, by Stripe's name of the field.
func value(m proto.Message, name string) string {
	r := m.ProtoReflect()
	f := r.Descriptor().Fields().ByTextName(name)
	if !r.Has(f) {
		return "nothing"
	}
	only := r.New()
	only.Set(f, r.Get(f))
	return deterministic(only.Interface())
}
