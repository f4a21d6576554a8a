package catalog_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/catalog/catalogtest"
)

func TestCompare_IsEmptyExactlyWhenDiffIs(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, change := draw(t)
		observed := observedState(s, change)
		steps, found := catalog.Diff(change, observed), catalog.Compare(change, observed)
		require.Equal(t, len(steps) == 0, len(found) == 0, "%s\n%v", words(steps), found)
		seen := map[string]bool{}
		for _, d := range found {
			require.False(t, seen[d.Field], "%s is named twice in %v", d.Field, found)
			seen[d.Field] = true
			require.NotEqual(t, d.Catalog, d.Stripe, "%v", d)
		}
		require.Equal(t, found, catalog.Compare(change, observed))
		apply(t, s, change)
		require.Empty(t, catalog.Compare(change, observedState(s, change)))
	})
}

// ruleFields are the fields that get random rules.
var ruleFields = []string{
	"active", "default_price", "description", "images", "marketing_features", "metadata", "metadata.size",
	"metadata.c*", "name",
	"package_dimensions", "shippable", "statement_descriptor", "tax_code", "unit_label", "url",
	"prices.active", "prices.currency_options", "prices.lookup_key", "prices.metadata", "prices.metadata.n*",
	"prices.nickname", "prices.tax_behavior",
}

func policy(t *rapid.T) *catalog.Policy {
	rules := map[string]catalog.Rule{}
	for _, field := range rapid.SliceOfNDistinct(rapid.SampledFrom(ruleFields), 0, 8, rapid.ID).Draw(t,
		"fields with a rule") {
		rules[field] = rapid.SampledFrom([]catalog.Rule{
			{Owner: catalog.OwnerCatalog},
			{Owner: catalog.OwnerCatalog, Action: catalog.Report},
			{Owner: catalog.OwnerStripe},
			{Owner: catalog.OwnerStripe, Action: catalog.Report},
			{Owner: catalog.OwnerNewest},
			{Owner: catalog.OwnerNewest, Action: catalog.Report},
		}).Draw(t, "rule of "+field)
	}
	p, err := catalog.NewPolicy(rapid.SampledFrom([]catalog.Action{catalog.Repair, catalog.Report}).Draw(t,
		"otherwise"), rules)
	require.NoError(t, err)
	return p
}

// sides is a catalog and a Stripe account under a policy, with the state that push records.
type sides struct {
	stripe *catalogtest.Stripe
	change *catalogv1.ProductChange
	policy *catalog.Policy
	agreed *catalogv1.Agreed
	// applied is the latest version that push has completed.
	version, applied uint64
}

func (s *sides) observed() *catalogv1.Observed {
	o := observedState(s.stripe, s.change)
	o.Agreed, o.Version = proto.CloneOf(s.agreed), s.applied
	for _, p := range o.GetPrices() {
		p.Changed = p.GetSeen()
	}
	return o
}

func (s *sides) edit(to *catalogv1.ProductChange, at int64) {
	s.version++
	s.change = proto.CloneOf(to)
	s.change.Version, s.change.CommittedAt = s.version, timestamppb.New(time.Unix(at, 0))
}

// push makes a pass.
func (s *sides) push(t require.TestingT) []catalog.Step {
	o := s.observed()
	steps := catalog.Resolve(s.policy, s.change, o, catalog.Exceptions{}).Steps(o)
	catalog.RecordStripeEdits(s.policy, s.change, o)
	s.agreed = o.GetAgreed()
	done, err := s.stripe.Pass(steps)
	require.NoError(t, err, "step %d of\n%s", done, words(steps))
	o = s.observed()
	catalog.Agree(s.policy, s.change, o)
	s.agreed, s.applied = o.GetAgreed(), s.version
	return steps
}

// drawSides generates a history in which both sides were edited and push ran sometimes.
func drawSides(t *rapid.T, p *catalog.Policy) *sides {
	s := &sides{stripe: &catalogtest.Stripe{}, policy: p}
	s.edit(catalogtest.Change(productID).Draw(t, "first"), 1_700_000_000)
	for range rapid.IntRange(0, 8).Draw(t, "past") {
		switch rapid.IntRange(0, 2).Draw(t, "who") {
		case 0:
			catalogtest.Dashboard(t, s.stripe, productID)
		case 1:
			s.edit(catalogtest.Edit(t, s.change), 1_700_000_000+rapid.Int64Range(0, 20).Draw(t, "at"))
		default:
			s.push(t)
		}
	}
	return s
}

func TestResolve_RepairsEverythingWithoutPolicy(t *testing.T) {
	t.Parallel()
	none, err := catalog.NewPolicy(catalog.Repair, nil)
	require.NoError(t, err)
	rapid.Check(t, func(t *rapid.T) {
		s, change := draw(t)
		observed := observedState(s, change)
		for _, p := range []*catalog.Policy{nil, none} {
			r := catalog.Resolve(p, change, observed, catalog.Exceptions{})
			require.Same(t, change, r.Effective)
			var found []catalog.Difference
			for _, d := range r.Decisions {
				require.Equal(t, catalog.Repair, d.Action)
				found = append(found, d.Difference)
			}
			require.Equal(t, catalog.Compare(change, observed), found)
		}
	})
}

func TestResolve_PassChangesOnlyAllowedFields(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := drawSides(t, policy(t))
		before := s.observed()
		changeBefore, observedBefore := proto.CloneOf(s.change), proto.CloneOf(before)
		r := catalog.Resolve(s.policy, s.change, before, catalog.Exceptions{})
		require.True(t, proto.Equal(changeBefore, s.change) && proto.Equal(observedBefore, before),
			"Resolve modified its arguments")
		steps := s.push(t)
		after := s.observed()
		again := catalog.Resolve(s.policy, s.change, after, catalog.Exceptions{})
		require.Empty(t, again.Steps(after), "a second pass has something to do after\n%s\n%v\n%v\n%v", words(steps),
			r.Decisions, again.Decisions, s.policy)

		left := map[string]catalog.Decision{}
		for _, d := range again.Decisions {
			require.NotEqual(t, catalog.Repair, d.Action, "%v", d)
			left[d.Field] = d
		}
		for _, d := range r.Decisions {
			if d.Kind == catalog.FieldDiffers && d.Action != catalog.Repair {
				kept, still := left[d.Field]
				require.True(t, still, "%v was overwritten by\n%s", d, words(steps))
				require.Equal(t, d.Stripe, kept.Stripe, "%v was overwritten by\n%s", d, words(steps))
			}
		}
	})
}

func TestApplyWriteBack_LeavesNoDifference(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := drawSides(t, policy(t))
		s.push(t)
		for round := 0; ; round++ {
			require.Less(t, round, 3, "the two sides do not come to rest")
			o := s.observed()
			r := catalog.Resolve(s.policy, s.change, o, catalog.Exceptions{})
			var fields []string
			for _, d := range r.Decisions {
				if d.Action == catalog.WriteBack {
					fields = append(fields, d.Field)
				}
			}
			if len(fields) == 0 {
				break
			}
			taken, written := catalog.ApplyWriteBack(s.change, o, fields)
			require.ElementsMatch(t, fields, written)
			if len(catalog.Validate(taken)) > 0 {
				// Reconciliation leaves this to an operator.
				break
			}
			next := proto.CloneOf(s.change)
			next.Product = taken
			s.edit(next, 1_700_000_100)
			s.push(t)
			o = s.observed()
			for _, d := range catalog.Resolve(s.policy, s.change, o, catalog.Exceptions{}).Decisions {
				require.NotContains(t, fields, d.Field, "%v", d)
			}
		}
	})
}

func TestResolve_NeverOverwritesStripesFields(t *testing.T) {
	t.Parallel()
	owned := []string{"description", "metadata.size", "prices.nickname", "name"}
	rules := map[string]catalog.Rule{}
	for _, f := range owned {
		rules[f] = catalog.Rule{Owner: catalog.OwnerStripe}
	}
	p, err := catalog.NewPolicy(catalog.Repair, rules)
	require.NoError(t, err)
	rapid.Check(t, func(t *rapid.T) {
		s := drawSides(t, p)
		o := s.observed()
		for _, step := range catalog.Resolve(p, s.change, o, catalog.Exceptions{}).Steps(o) {
			for _, param := range step.Params {
				switch {
				case step.Kind == catalog.UpdateProduct:
					require.NotContains(t, []string{"description", "name", "metadata[size]"}, param.Name)
				case step.Kind == catalog.UpdatePrice && step.StripePriceID != "" && param.Name == "nickname":
					// Only a price that replaces another one gets its name.
					require.True(t,
						slices.ContainsFunc(o.GetPrices(),
							func(h *catalogv1.ObservedPrice) bool { return h.GetPrice().GetNickname() == param.Value }))
				}
			}
		}
	})
}

// haveTwins reports whether two active prices carry the same id, as after somebody duplicated one. An exception names
// only one of them.
func haveTwins(o *catalogv1.Observed) bool {
	seen := map[string]bool{}
	return slices.ContainsFunc(o.GetPrices(), func(p *catalogv1.ObservedPrice) bool {
		id := p.GetPrice().GetId()
		if id == "" || !p.GetPrice().GetActive() {
			return false
		}
		twin := seen[id]
		seen[id] = true
		return twin
	})
}

// wasCleared reports whether Driftless cleared the default price when it archived the price.
func wasCleared(o *catalogv1.Observed) bool {
	return slices.ContainsFunc(o.GetPrices(), func(p *catalogv1.ObservedPrice) bool {
		return p.GetPrice().GetMetadata()[catalog.AbsenceMarker] == "default_price"
	})
}

// isTakenByAnother reports whether a difference is a lookup key that another price of the catalog wants. Stripe moves
// the key when that price gets it.
func isTakenByAnother(change *catalogv1.ProductChange, d catalog.Difference) bool {
	return strings.HasSuffix(d.Field, ".lookup_key") &&
		slices.ContainsFunc(change.GetProduct().GetPrices(), func(p *catalogv1.Price) bool {
			return p.GetId() != d.Price && catalog.LookupKey(p) == d.Stripe
		})
}

func TestResolve_LeavesExceptions(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, change := draw(t)
		observed := observedState(s, change)
		found := catalog.Compare(change, observed)
		if len(found) == 0 {
			return
		}
		d := rapid.SampledFrom(found).Draw(t, "left")
		extra := slices.ContainsFunc(found, func(d catalog.Difference) bool { return d.Kind == catalog.Extra })
		if extra || haveTwins(observed) || change.GetProduct() == nil ||
			strings.HasSuffix(d.Field, ".lookup_key") && d.Stripe == "" ||
			strings.Contains(d.Field, ".currency_options.") ||
			strings.HasSuffix(d.Field, "metadata."+catalog.PriceMarker) ||
			strings.HasSuffix(d.Field, "metadata."+catalog.AbsenceMarker) || d.Kind == catalog.PriceStructure ||
			d.Kind == catalog.WrongDefaultPrice && (len(found) > 1 || wasCleared(observed)) ||
			slices.Contains(change.GetUnmanagedFields(), "prices.active") || isTakenByAnother(change, d) {
			// The default must move off an archived price, and return to one that Driftless archived. A price of others
			// cannot be an exception.
			return
		}
		r := catalog.Resolve(nil, change, observed, catalog.Exceptions{Leave: []string{d.Field}})
		for _, still := range catalog.Compare(r.Effective, observed) {
			require.NotEqual(t, d.Field, still.Field, "%v", found)
		}
		require.True(t, slices.ContainsFunc(r.Decisions, func(kept catalog.Decision) bool {
			return kept.Field == d.Field && kept.Kind == d.Kind && kept.Action == catalog.Report
		}), "%v", r.Decisions)
	})
}
