package catalog_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"pgregory.net/rapid"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/catalog/catalogtest"
)

var absence = &catalogv1.ProductChange{ProductId: productID, Operation: catalogv1.Operation_OPERATION_DELETE}

// required are columns that every mapping has.
var required = []string{"name", "prices.currency", "prices.unit_amount"}

// mapped generates the desired state that a mapping without some columns produces. Fields of these columns have no
// value.
func mapped(t *rapid.T, unmanaged []string) *catalogv1.ProductChange {
	change := upsert(catalogtest.Product(productID).Draw(t, "product"), unmanaged...)
	p := change.GetProduct()
	for _, name := range unmanaged {
		of, field := []protoreflect.Message{p.ProtoReflect()}, name
		if rest, ofPrice := strings.CutPrefix(name, "prices."); ofPrice {
			of, field = nil, rest
			for _, price := range p.GetPrices() {
				of = append(of, price.ProtoReflect())
			}
		}
		for _, m := range of {
			m.Clear(m.Descriptor().Fields().ByName(protoreflect.Name(field)))
		}
	}
	// Without these fields the price would not be valid in Stripe.
	p.Prices = slices.DeleteFunc(p.GetPrices(), func(price *catalogv1.Price) bool {
		return len(catalog.Validate(&catalogv1.Product{Prices: []*catalogv1.Price{price}})) > 0
	})
	if len(catalog.Validate(p)) > 0 {
		p.DefaultPrice = ""
		for _, price := range p.GetPrices() {
			price.LookupKey = ""
		}
	}
	require.Empty(t, catalog.Validate(p))
	return change
}

// Whatever leaves the catalog and returns is in the end on sale as if it had just been created. This holds for any
// mapped columns, any order and crashes.
func TestDiff_ReturnToCatalogEqualsFreshCreation(t *testing.T) {
	t.Parallel()
	optional := slices.DeleteFunc(slices.Clone(catalogtest.UnmanagedFields),
		func(f string) bool { return slices.Contains(required, f) })
	rapid.Check(t, func(t *rapid.T) {
		unmanaged := rapid.SliceOfDistinct(rapid.SampledFrom(optional), rapid.ID[string]).Draw(t, "unmanaged")
		s := &catalogtest.Stripe{}
		last := mapped(t, unmanaged)
		for range rapid.IntRange(1, 6).Draw(t, "changes") {
			next := last
			switch rapid.SampledFrom([]string{"product leaves", "price leaves", "returns", "edit"}).Draw(t, "change") {
			case "product leaves":
				next = absence
			case "price leaves":
				next = proto.CloneOf(last)
				if n := len(next.GetProduct().GetPrices()); n > 0 {
					i := rapid.IntRange(0, n-1).Draw(t, "price")
					if next.Product.DefaultPrice == next.GetProduct().GetPrices()[i].GetId() {
						next.Product.DefaultPrice = ""
					}
					next.Product.Prices = slices.Delete(next.Product.Prices, i, i+1)
				}
			case "edit":
				last = mapped(t, unmanaged)
				next = last
			}
			steps := catalog.Diff(next, observedState(s, next))
			if len(steps) > 0 && rapid.IntRange(0, 3).Draw(t, "crash") == 0 {
				steps = steps[:rapid.IntRange(0, len(steps)-1).Draw(t, "steps before the crash")]
			}
			done, err := s.Pass(steps)
			require.NoError(t, err, "step %d of\n%s", done, words(steps))
		}
		steps := apply(t, s, last)
		converged(t, s, last)
		fresh := &catalogtest.Stripe{}
		apply(t, fresh, last)
		require.Equal(t, onSale(fresh, last), onSale(s, last), words(steps))
		for _, id := range append(s.PriceIDs(productID), "") {
			metadata := s.Observed(productID).GetProduct().GetMetadata()
			if id != "" {
				p := s.Price(id).Price
				if metadata = p.GetMetadata(); wanted(last, p.GetId()) == nil {
					continue
				}
			}
			require.NotContains(t, metadata, catalog.AbsenceMarker, "the mark of %q is left", id)
		}
	})
}

// If the mapping leaves active alone, an object that somebody archived in the dashboard stays archived when it leaves
// the catalog and returns. It does not matter what Driftless archived before or after.
func TestDiff_LeavesArchivedByOthersArchived(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := &catalogtest.Stripe{}
		amounts := []string{"1000", "1200"}
		change := func(i int, priced bool) *catalogv1.ProductChange {
			p := &catalogv1.Product{Id: productID, Name: "Pro"}
			if priced {
				p.Prices = []*catalogv1.Price{{Id: "monthly", Currency: "usd", UnitAmount: amounts[i]}}
			}
			return upsert(p, "active", "default_price", "prices.active")
		}
		archivedProduct, archivedPrice := false, false
		apply(t, s, change(0, true))
		for range rapid.IntRange(1, 10).Draw(t, "steps") {
			present := change(rapid.IntRange(0, 1).Draw(t, "amount"), true)
			switch rapid.SampledFrom([]string{
				"returns", "product leaves", "price leaves", "archive product",
				"archive price",
			}).Draw(t, "what") {
			case "returns":
				apply(t, s, present)
			case "product leaves":
				apply(t, s, absence)
			case "price leaves":
				apply(t, s, change(0, false))
			case "archive product":
				// A person archives an active object.
				apply(t, s, present)
				_, err := s.Call(catalog.UpdateProduct, productID, catalog.Param{Name: "active", Value: "false"})
				require.NoError(t, err)
				archivedProduct = true
			case "archive price":
				apply(t, s, present)
				for _, id := range s.PriceIDs(productID) {
					_, err := s.Call(catalog.UpdatePrice, id, catalog.Param{Name: "active", Value: "false"})
					require.NoError(t, err)
				}
				archivedPrice = true
			}
		}
		apply(t, s, change(rapid.IntRange(0, 1).Draw(t, "last amount"), true))
		o := s.Observed(productID)
		require.Equal(t, !archivedProduct, o.GetProduct().GetActive())
		require.Equal(t, !archivedPrice, representingPrice(o, "monthly") != nil, "%v", o.GetPrices())
	})
}

func TestDiff_RestoresClearedDefaultPrice(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]*catalogv1.ProductChange{
		"product": absence,
		"price": upsert(func() *catalogv1.Product {
			p := proPlan()
			p.DefaultPrice, p.Prices = "", p.GetPrices()[1:]
			return p
		}(), "default_price", "active", "prices.active"),
	} {
		for _, amount := range []string{"1000", "1300"} {
			t.Run(name+" "+amount, func(t *testing.T) {
				t.Parallel()
				p := proPlan()
				p.DefaultPrice, p.Prices[0].UnitAmount = "", amount
				change := upsert(p, "default_price", "active", "prices.active")
				start := &catalogtest.Stripe{}
				apply(t, start, upsert(proPlan()))
				apply(t, start, leave)
				require.Empty(t, start.Product(productID).Product.GetDefaultPrice())
				steps := catalog.Diff(change, observedState(start, change))
				for n := range len(steps) + 1 {
					s := start.Clone()
					_, err := s.Pass(steps[:n])
					require.NoError(t, err)
					apply(t, s, change)
					converged(t, s, change)
					def := s.Price(s.Product(productID).Product.GetDefaultPrice()).Price
					require.Equal(t, "monthly", def.GetId(), "after %d of\n%s", n, words(steps))
					require.Equal(t, amount, def.GetUnitAmount())
					require.True(t, def.GetActive())
				}
			})
		}
	}
}

// Driftless archived it, so Stripe's side has not changed it.
func TestResolve_UnarchivesOwnArchiveForAnyOwner(t *testing.T) {
	t.Parallel()
	for _, owner := range []catalog.Owner{catalog.OwnerCatalog, catalog.OwnerStripe, catalog.OwnerNewest} {
		for _, action := range []catalog.Action{catalog.Repair, catalog.WriteBack, catalog.Report} {
			for _, unmanaged := range [][]string{nil, {"active", "prices.active"}} {
				policy, err := catalog.NewPolicy(catalog.Report, map[string]catalog.Rule{
					"active":        {Owner: owner, Action: action},
					"prices.active": {Owner: owner, Action: action},
				})
				if err != nil {
					continue // no such rule
				}
				s := &catalogtest.Stripe{}
				change := upsert(proPlan(), unmanaged...)
				apply(t, s, change)
				apply(t, s, absence)
				o := observedState(s, change)
				r := catalog.Resolve(policy, change, o, catalog.Exceptions{})
				for _, d := range r.Decisions {
					if d.Kind == catalog.ArchivedInStripe {
						require.Equal(t, catalog.Repair, d.Action, "%v %v", owner, d)
					}
				}
				left := catalog.Resolve(policy, change, o,
					catalog.Exceptions{Leave: []string{"active", "prices.monthly.active", "prices.yearly.active"}})
				for _, step := range left.Steps(o) {
					require.False(t, has(step, "active", "true"),
						"%v %v: what a person has decided about is left, but %s", owner, unmanaged, step)
				}
				_, err = s.Pass(r.Steps(o))
				require.NoError(t, err)
				after := s.Observed(productID)
				require.True(t, after.GetProduct().GetActive())
				require.NotNil(t, representingPrice(after, "monthly"))
			}
		}
	}
}

// Archiving matters more than the mark that would unarchive the object later.
func TestDiff_ArchivesWithoutMarkIfMetadataIsFull(t *testing.T) {
	t.Parallel()
	s := &catalogtest.Stripe{}
	apply(t, s, upsert(&catalogv1.Product{Id: productID, Name: "Pro", Metadata: keys(50)}))
	apply(t, s, absence)
	require.False(t, s.Product(productID).Product.GetActive())
	require.Len(t, s.Product(productID).Product.GetMetadata(), 50)
}

// A catalog that was filled from Stripe may contain the mark.
func TestDiff_IgnoresAbsenceMarkInCatalog(t *testing.T) {
	t.Parallel()
	p := proPlan()
	p.Metadata = map[string]string{catalog.AbsenceMarker: "true", "size": "L"}
	p.Prices[0].Metadata = map[string]string{catalog.AbsenceMarker: "true"}
	change := upsert(p)
	s := &catalogtest.Stripe{}
	for _, next := range []*catalogv1.ProductChange{change, absence, change} {
		apply(t, s, next)
		converged(t, s, next)
	}
	o := s.Observed(productID)
	require.Equal(t, map[string]string{"size": "L"}, o.GetProduct().GetMetadata())
	require.NotContains(t, representingPrice(o, "monthly").GetPrice().GetMetadata(), catalog.AbsenceMarker)
}

// The price's lookup key moved with it, and must come back too.
func TestDiff_ReusesPriceThatMovedAndReturned(t *testing.T) {
	t.Parallel()
	s := &catalogtest.Stripe{}
	unmanaged := []string{"active", "default_price", "prices.active", "prices.lookup_key", "prices.metadata"}
	sync := func(product string, prices ...*catalogv1.Price) *catalogv1.Observed {
		change := upsert(&catalogv1.Product{Id: product, Name: "Pro", Prices: prices}, unmanaged...)
		change.ProductId = product
		o := s.Observed(product)
		catalog.ManageMetadata(o, change)
		_, err := s.Pass(catalog.Diff(change, o))
		require.NoError(t, err)
		require.Empty(t, catalog.Diff(change, s.Observed(product)))
		return s.Observed(product)
	}
	moving := &catalogv1.Price{Id: "monthly", Currency: "usd", UnitAmount: "1000"}
	first := representingPrice(sync(productID, moving), "monthly").GetStripeId()
	for range 2 {
		sync(productID)
		require.Equal(t, "monthly", representingPrice(sync("cup", moving), "monthly").GetPrice().GetLookupKey())
		sync("cup")
		back := representingPrice(sync(productID, moving), "monthly")
		require.Equal(t, first, back.GetStripeId(), "the old price is reused")
		require.Equal(t, "monthly", back.GetPrice().GetLookupKey())
	}
	require.Len(t, s.PriceIDs("cup"), 1)
}
