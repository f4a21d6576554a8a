package catalog_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/catalog/catalogtest"
)

func TestCanonical_IsIdempotentAndPure(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := catalogtest.Product(productID).Draw(t, "product")
		before := proto.CloneOf(p)
		once := catalog.Canonical(p)
		require.True(t, proto.Equal(before, p), "Canonical modified its argument")
		require.Empty(t, cmp.Diff(once, catalog.Canonical(once), protocmp.Transform()))
		require.Empty(t, catalog.Validate(once), "the canonical form of a valid product is not valid")
		for _, price := range p.GetPrices() {
			once := catalog.CanonicalPrice(price)
			require.Empty(t, cmp.Diff(once, catalog.CanonicalPrice(once), protocmp.Transform()))
		}
	})
}

func TestDiff_ReturnsNothingForCanonicalProduct(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := catalogtest.Product(productID).Draw(t, "product")
		require.Empty(t, catalog.Diff(&catalogv1.ProductChange{ProductId: productID, Product: p}, readBack(p)))
	})
}

// readBack returns the observed state of a product that was written in canonical form.
func readBack(p *catalogv1.Product) *catalogv1.Observed {
	c := catalog.Canonical(p)
	o := &catalogv1.Observed{ProductId: p.GetId(), ManagedMetadata: slices.Collect(maps.Keys(c.GetMetadata()))}
	for _, price := range c.GetPrices() {
		price.LookupKey = catalog.LookupKey(price)
		if price.Metadata == nil {
			price.Metadata = map[string]string{}
		}
		price.Metadata[catalog.PriceMarker] = price.GetId()
		o.Prices = append(o.Prices, &catalogv1.ObservedPrice{
			StripeId: "price_" + price.GetId(), Price: price,
			ManagedMetadata: slices.Collect(maps.Keys(price.GetMetadata())),
		})
		if c.GetDefaultPrice() == price.GetId() {
			c.DefaultPrice = "price_" + price.GetId()
		}
	}
	c.Prices = nil
	o.Product = c
	return o
}

// The canonical forms are written field by field. This test fails when the contract has a new field.
func TestCanonical_KeepsEveryField(t *testing.T) {
	t.Parallel()
	p := &catalogv1.Product{}
	fill(p.ProtoReflect())
	require.Empty(t, missingFields("", p.ProtoReflect(), catalog.Canonical(p).ProtoReflect()))
}

// fill gives every field a canonical value.
func fill(m protoreflect.Message) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		switch {
		case f.IsMap() && f.MapValue().Kind() == protoreflect.MessageKind:
			v := m.Mutable(f).Map().NewValue()
			fill(v.Message())
			m.Mutable(f).Map().Set(protoreflect.ValueOf("eur").MapKey(), v)
		case f.IsMap():
			m.Mutable(f).Map().Set(protoreflect.ValueOf("key").MapKey(), protoreflect.ValueOf("value"))
		case f.IsList() && f.Kind() == protoreflect.MessageKind:
			fill(m.Mutable(f).List().AppendMutable().Message())
		case f.IsList():
			m.Mutable(f).List().Append(protoreflect.ValueOf("value"))
		case f.Kind() == protoreflect.MessageKind:
			fill(m.Mutable(f).Message())
		case f.Kind() == protoreflect.BoolKind:
			m.Set(f, protoreflect.ValueOf(true))
		case f.Kind() == protoreflect.Uint32Kind:
			m.Set(f, protoreflect.ValueOf(uint32(2)))
		case f.Kind() == protoreflect.Uint64Kind:
			m.Set(f, protoreflect.ValueOf(uint64(2)))
		default:
			m.Set(f, protoreflect.ValueOf("1.5"))
		}
	}
}

// missingFields returns the fields that the first message has and the second does not. One of the two fields of an
// amount is enough.
func missingFields(path string, was, is protoreflect.Message) []string {
	var out []string
	was.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		name := path + "." + f.TextName()
		switch {
		case strings.HasSuffix(name, "_amount") && f.Kind() == protoreflect.StringKind:
		case !is.Has(f):
			out = append(out, name)
		case f.IsMap() && f.MapValue().Kind() == protoreflect.MessageKind:
			v.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
				out = append(out, missingFields(name, v.Message(), is.Get(f).Map().Get(k).Message())...)
				return true
			})
		case f.IsList() && f.Kind() == protoreflect.MessageKind:
			out = append(out, missingFields(name, v.List().Get(0).Message(), is.Get(f).List().Get(0).Message())...)
		case f.Kind() == protoreflect.MessageKind && !f.IsMap():
			out = append(out, missingFields(name, v.Message(), is.Get(f).Message())...)
		}
		return true
	})
	return out
}

func TestCanonical_Forms(t *testing.T) {
	t.Parallel()
	require.Nil(t, catalog.Canonical(nil))
	require.Nil(t, catalog.CanonicalPrice(nil))
	t.Run("of a product", func(t *testing.T) {
		t.Parallel()
		got := catalog.Canonical(&catalogv1.Product{
			StatementDescriptor: "Müller & co",
			PackageDimensions:   &catalogv1.PackageDimensions{Height: "010", Length: "1.50", Weight: "0.0", Width: "2"},
			Prices:              []*catalogv1.Price{{Id: "b"}, {Id: "a"}},
		})
		require.Empty(t, cmp.Diff(&catalogv1.Product{
			Active: new(true), StatementDescriptor: "MLLER & CO",
			PackageDimensions: &catalogv1.PackageDimensions{Height: "10", Length: "1.5", Weight: "0", Width: "2"},
			Prices: []*catalogv1.Price{
				{Id: "a", Active: new(true), BillingScheme: "per_unit", TaxBehavior: "unspecified"},
				{Id: "b", Active: new(true), BillingScheme: "per_unit", TaxBehavior: "unspecified"},
			},
		}, got, protocmp.Transform()))
	})
	for _, c := range []struct{ whole, fractional, wantWhole, wantFractional string }{
		{"1000", "", "1000", ""},
		{"", "1000", "1000", ""},
		{"1000", "1000", "1000", ""},
		{"", "1000.000", "1000", ""},
		{"", "0.50", "", "0.5"},
		{"", "0.0", "0", ""},
		{"0", "", "0", ""},
		{"", "123456789012.123456789012", "", "123456789012.123456789012"},
		{"", "", "", ""},
		{"", "1e3", "", "1e3"},
		{"ten", "", "ten", ""},
		{"", "1.", "", "1."},
		{"", ".5", "", ".5"},
		{"", "-1", "", "-1"},
	} {
		got := catalog.CanonicalPrice(&catalogv1.Price{UnitAmount: c.whole, UnitAmountDecimal: c.fractional})
		require.Equal(t, []string{c.wantWhole, c.wantFractional},
			[]string{got.GetUnitAmount(), got.GetUnitAmountDecimal()}, "of %+v", c)
	}
	t.Run("of tiers", func(t *testing.T) {
		t.Parallel()
		// Stripe may spell out the amount that a tier does not have, or leave it out.
		for _, equal := range [][]*catalogv1.PriceTier{
			{
				{UnitAmount: "5"},
				{UnitAmountDecimal: "5"},
				{UnitAmount: "5", FlatAmount: "0"},
				{UnitAmount: "5", FlatAmountDecimal: "0.00"},
			},
			{{FlatAmount: "5"}, {UnitAmount: "0", FlatAmount: "5"}, {UnitAmountDecimal: "0", FlatAmountDecimal: "5.0"}},
			{{FlatAmountDecimal: "0.5"}, {UnitAmount: "0", FlatAmountDecimal: "0.5"}},
			{{UnitAmount: "0"}, {FlatAmount: "0"}, {UnitAmount: "0", FlatAmount: "0"}},
		} {
			first := catalog.CanonicalPrice(&catalogv1.Price{Tiers: equal[:1]})
			for _, tier := range equal[1:] {
				require.Empty(t,
					cmp.Diff(first, catalog.CanonicalPrice(&catalogv1.Price{Tiers: []*catalogv1.PriceTier{tier}}),
						protocmp.Transform()))
			}
		}
	})
	t.Run("defaults of a price", func(t *testing.T) {
		t.Parallel()
		got := catalog.CanonicalPrice(&catalogv1.Price{
			Currency: "USD", UnitAmount: "1", Recurring: &catalogv1.Recurring{Interval: "month"},
			CurrencyOptions: map[string]*catalogv1.CurrencyOption{"eur": {UnitAmountDecimal: "2.0"}},
		})
		require.Empty(t, cmp.Diff(&catalogv1.Price{
			Active: new(true), Currency: "usd", UnitAmount: "1", BillingScheme: "per_unit", TaxBehavior: "unspecified",
			Recurring:       &catalogv1.Recurring{Interval: "month", IntervalCount: 1, UsageType: "licensed"},
			CurrencyOptions: map[string]*catalogv1.CurrencyOption{"eur": {UnitAmount: "2", TaxBehavior: "unspecified"}},
		}, got, protocmp.Transform()))
		require.Equal(t, "tiered",
			catalog.CanonicalPrice(
				&catalogv1.Price{Tiers: []*catalogv1.PriceTier{{UnitAmount: "1"}}}).GetBillingScheme())
	})
}
