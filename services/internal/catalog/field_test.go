package catalog_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/reflect/protoreflect"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

var update = flag.Bool("update", false, "write docs/fields.md")

// The test fails when a field of the contract is in no table of fields. Otherwise the field would silently never reach
// Stripe.
func TestFields_CoverTheContract(t *testing.T) {
	for _, c := range []struct {
		message protoreflect.MessageDescriptor
		fields  []catalog.Field
		except  []string
	}{
		{(&catalogv1.Product{}).ProtoReflect().Descriptor(), catalog.ProductFields(), []string{"prices"}},
		{(&catalogv1.Price{}).ProtoReflect().Descriptor(), catalog.PriceFields(), nil},
	} {
		var listed []string
		for _, f := range c.fields {
			listed = append(listed, f.Name)
		}
		require.True(t, slices.IsSorted(listed), "put the fields in the order of their names: %v", listed)
		require.ElementsMatch(t, fieldsOf(c.message, c.except...), listed, c.message.FullName())
	}
}

// An event that is taken to show a field that it lacks would keep an old value. One that is not needs another read.
func TestEventShowsPriceField(t *testing.T) {
	for name, want := range map[string]bool{
		"active": true, "lookup_key": true, "metadata": true, "nickname": true, "tax_behavior": true,
		"currency_options": false, "recurring": false, "tiers": false, "unit_amount": false, "product": false,
	} {
		require.Equal(t, want, catalog.EventShowsPriceField(name), name)
	}
}

func TestParts_CoverTheContract(t *testing.T) {
	found := 0
	for _, m := range []protoreflect.MessageDescriptor{
		(&catalogv1.Product{}).ProtoReflect().Descriptor(), (&catalogv1.Price{}).ProtoReflect().Descriptor(),
	} {
		for i := range m.Fields().Len() {
			field := m.Fields().Get(i)
			parts := catalog.Parts(string(field.Name()))
			if parts == nil {
				continue
			}
			found++
			var listed []string
			for _, part := range parts {
				listed = append(listed, part.Name)
				kind := field.Message().Fields().ByName(protoreflect.Name(part.Name)).Kind()
				require.Equal(t, part.Type != catalog.PartWhole, kind == protoreflect.StringKind, part.Name)
			}
			require.ElementsMatch(t, fieldsOf(field.Message()), listed, field.FullName())
		}
	}
	require.Equal(t, 3, found, "package_dimensions, recurring and transform_quantity are structures")
}

func fieldsOf(m protoreflect.MessageDescriptor, except ...string) (names []string) {
	for i := range m.Fields().Len() {
		if name := string(m.Fields().Get(i).Name()); !slices.Contains(except, name) {
			names = append(names, name)
		}
	}
	return names
}

// Every part of a price's structures must reach Stripe and come back.
func TestDiff_WritesEachPartOfAStructure(t *testing.T) {
	change := func(r *catalogv1.Recurring) *catalogv1.ProductChange {
		return &catalogv1.ProductChange{
			ProductId: "pro", Operation: catalogv1.Operation_OPERATION_UPSERT,
			Product: &catalogv1.Product{Id: "pro", Name: "Pro", Prices: []*catalogv1.Price{
				{Id: "a", Currency: "usd", UnitAmount: "1000", Recurring: r},
			}},
		}
	}
	params := map[string]string{}
	for _, s := range catalog.Diff(change(&catalogv1.Recurring{
		Interval: "month", IntervalCount: 3, UsageType: "metered", AggregateUsage: new("max"),
		TrialPeriodDays: new(uint32(14)),
	}), &catalogv1.Observed{}) {
		for _, p := range s.Params {
			params[p.Name] = p.Value
		}
	}
	require.Equal(t, "3", params["recurring[interval_count]"])
	require.Equal(t, "max", params["recurring[aggregate_usage]"])
	require.Equal(t, "14", params["recurring[trial_period_days]"])

	inStripe := func(r *catalogv1.Recurring) *catalogv1.Observed {
		return &catalogv1.Observed{
			Product: &catalogv1.Product{Id: "pro", Name: "Pro", Active: new(true)},
			Prices: []*catalogv1.ObservedPrice{{StripeId: "price_1", Price: &catalogv1.Price{
				Id: "a", Active: new(true), Currency: "usd", UnitAmount: "1000", LookupKey: "a",
				Metadata:  map[string]string{catalog.PriceMarker: "a"},
				Recurring: r,
			}}},
		}
	}
	monthly := func(usage string, aggregate *string, trial *uint32) *catalogv1.Recurring {
		return &catalogv1.Recurring{
			Interval: "month", IntervalCount: 1, UsageType: usage, AggregateUsage: aggregate, TrialPeriodDays: trial,
		}
	}
	for name, c := range map[string]struct {
		want, have *catalogv1.Recurring
		differs    string
	}{
		"another trial": {
			monthly("", nil, new(uint32(7))), monthly("licensed", new(""), new(uint32(0))),
			"interval=month, interval_count=1, usage_type=licensed -> " +
				"interval=month, interval_count=1, usage_type=licensed, trial_period_days=7",
		},
		"no trial wanted": {
			monthly("", nil, new(uint32(0))), monthly("licensed", new(""), new(uint32(14))),
			"interval=month, interval_count=1, usage_type=licensed, trial_period_days=14 -> " +
				"interval=month, interval_count=1, usage_type=licensed",
		},
		"the catalog is silent": {
			monthly("metered", nil, nil),
			monthly("metered", new("max"), new(uint32(14))), "",
		},
		"observed before the parts were known": {
			monthly("metered", new("max"), new(uint32(14))),
			monthly("metered", nil, nil), "",
		},
		"the default": {
			monthly("metered", new("sum"), nil),
			monthly("metered", new("sum"), nil), "",
		},
		"another aggregation": {
			monthly("metered", new("sum"), nil), monthly("metered", new("max"), new(uint32(0))),
			"interval=month, interval_count=1, usage_type=metered, aggregate_usage=max -> " +
				"interval=month, interval_count=1, usage_type=metered",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var found string
			for _, d := range catalog.Compare(change(c.want), inStripe(c.have)) {
				require.Equal(t, catalog.PriceStructure, d.Kind)
				require.Equal(t, "prices.a.recurring", d.Field)
				found = d.Stripe + " -> " + d.Catalog
			}
			require.Equal(t, c.differs, found)
		})
	}

	// A price that takes another one's place keeps what the catalog is silent about, as far as it fits.
	params = map[string]string{}
	dearer := change(monthly("metered", nil, nil))
	dearer.Product.Prices[0].UnitAmount = "1200"
	for _, s := range catalog.Diff(dearer, inStripe(monthly("metered", new("max"), new(uint32(14))))) {
		for _, p := range s.Params {
			params[p.Name] = p.Value
		}
	}
	require.Equal(t, "max", params["recurring[aggregate_usage]"])
	require.Equal(t, "14", params["recurring[trial_period_days]"])
	for _, s := range catalog.Diff(change(monthly("licensed", nil, nil)),
		inStripe(monthly("metered", new("max"), new(uint32(14))))) {
		_, sent := s.Param("recurring[aggregate_usage]")
		require.False(t, sent, "a licensed price has none")
	}
}

func TestFields_AreDocumented(t *testing.T) {
	path := filepath.Join("..", "..", "..", "docs", "fields.md")
	want := fieldsPage()
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(want), 0o644))
	}
	have, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, want, string(have), "run the test with -update")
}

func fieldsPage() string {
	var b strings.Builder
	b.WriteString(`# Fields

For everybody who writes a mapping, a policy or a call of the API: the fields of products and prices that Driftless
keeps equal. A field has the same name in your columns, in the built-in tables, in the API, in Stripe and in every
message. The page is generated from ` + "`productTable` and `priceTable` in `services/internal/catalog/field.go`" + `, by
` + "`go test ./services/internal/catalog -update`" + `.

- **Fixed** fields of a price are never changed by Stripe. Another value makes another price, which replaces the old
  one. A field that is fixed **once set** can be added later. A price is replaced if such a value changes: a
  ` + "`tax_behavior` that is not `unspecified`" + `, also one within a currency option. It is also replaced if a currency
  leaves ` + "`currency_options`" + `. An amount within an option can change.
- **Policy** says whether a rule can give the field to Stripe or to the latest change. See [policy.md](policy.md).
- [mapping.md](mapping.md) says which types a column may have, and what NULL means.
`)
	table := func(title string, fields []catalog.Field) {
		fmt.Fprintf(&b, "\n## %s\n\n| field | holds | required | fixed | policy |\n|---|---|---|---|---|\n", title)
		for _, f := range fields {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", f.Name, typeName(f), yes(f.Required), fixed(f),
				yes(f.Ownable))
		}
	}
	table("Products", catalog.ProductFields())
	table("Prices", catalog.PriceFields())
	b.WriteString("\nIn the tables and queries of a catalog a price also has `product`, the id of its product. It is required.\n")
	return b.String()
}

func fixed(f catalog.Field) string {
	if f.FixedOnceSet {
		return "once set"
	}
	return yes(f.Fixed)
}

// The page says when a price is replaced.
func TestFields_FixedOnceSetReplacePrice(t *testing.T) {
	option := func(amount, tax string) *catalogv1.CurrencyOption {
		return &catalogv1.CurrencyOption{UnitAmount: amount, TaxBehavior: tax}
	}
	price := func(tax string, options map[string]*catalogv1.CurrencyOption) *catalogv1.Price {
		return &catalogv1.Price{
			Id: "a", Active: new(true), Currency: "usd", UnitAmount: "1000", TaxBehavior: tax, CurrencyOptions: options,
		}
	}
	euro := func(amount, tax string) map[string]*catalogv1.CurrencyOption {
		return map[string]*catalogv1.CurrencyOption{"eur": option(amount, tax)}
	}
	inclusive := price("inclusive", nil)
	withEuro := func(amount, tax string) *catalogv1.Price { return price("inclusive", euro(amount, tax)) }
	for name, c := range map[string]struct {
		have, want *catalogv1.Price
		replaces   bool
	}{
		"a tax behavior is set":            {price("unspecified", nil), inclusive, false},
		"a tax behavior changes":           {price("exclusive", nil), inclusive, true},
		"an option is added":               {inclusive, withEuro("900", ""), false},
		"an option's amount changes":       {withEuro("900", "unspecified"), withEuro("800", ""), false},
		"an option's tax behavior is set":  {withEuro("900", "unspecified"), withEuro("900", "exclusive"), false},
		"an option's tax behavior changes": {withEuro("900", "inclusive"), withEuro("900", "exclusive"), true},
		"an option leaves":                 {withEuro("900", "unspecified"), inclusive, true},
	} {
		t.Run(name, func(t *testing.T) {
			var kinds []catalog.StepKind
			for _, s := range catalog.Diff(&catalogv1.ProductChange{
				ProductId: "pro", Operation: catalogv1.Operation_OPERATION_UPSERT,
				Product: &catalogv1.Product{Id: "pro", Name: "Pro", Prices: []*catalogv1.Price{c.want}},
			}, &catalogv1.Observed{
				Product: &catalogv1.Product{Id: "pro", Name: "Pro", Active: new(true)},
				Prices:  []*catalogv1.ObservedPrice{{StripeId: "price_1", Price: c.have}},
			}) {
				kinds = append(kinds, s.Kind)
			}
			require.Equal(t, c.replaces, slices.Contains(kinds, catalog.CreatePrice), "%v", kinds)
		})
	}
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return ""
}

func typeName(f catalog.Field) string {
	switch f.Type {
	case catalog.TypeText:
		return "text"
	case catalog.TypeID:
		return "id"
	case catalog.TypeCurrency:
		return "currency code"
	case catalog.TypeBoolean:
		return "true or false"
	case catalog.TypeTexts:
		return "list of texts"
	case catalog.TypeAmount:
		if f.Whole {
			return "whole minor units"
		}
		return "minor units with decimals"
	case catalog.TypeMetadata:
		return "texts by key"
	case catalog.TypeStructure:
	}
	var parts []string
	for _, part := range catalog.Parts(f.Name) {
		parts = append(parts, "`"+part.Name+"`")
	}
	if parts == nil {
		return "structure"
	}
	return "structure of " + strings.Join(parts, ", ")
}
