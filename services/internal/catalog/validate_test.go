package catalog_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"buf.build/go/protovalidate"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/catalog/catalogtest"
)

// edit changes a valid product.
type edit func(p *catalogv1.Product)

func product(f func(p *catalogv1.Product)) edit { return f }

// priced changes the first price, a plain one in dollars.
func priced(f func(p *catalogv1.Price)) edit {
	return func(p *catalogv1.Product) { f(p.GetPrices()[0]) }
}

func tiered(tiers ...*catalogv1.PriceTier) edit {
	return priced(func(p *catalogv1.Price) {
		p.UnitAmount, p.Tiers, p.BillingScheme, p.TiersMode, p.Recurring = "", tiers, "tiered", "graduated",
			&catalogv1.Recurring{Interval: "month"}
	})
}

func option(code string, o *catalogv1.CurrencyOption) edit {
	return priced(func(p *catalogv1.Price) { p.CurrencyOptions = map[string]*catalogv1.CurrencyOption{code: o} })
}

func recurring(interval string, count uint32) edit {
	return priced(func(p *catalogv1.Price) {
		p.Recurring = &catalogv1.Recurring{Interval: interval, IntervalCount: count}
	})
}

func custom(minimum, preset, maximum string) edit {
	return priced(func(p *catalogv1.Price) {
		p.UnitAmount, p.CustomUnitAmount = "",
			&catalogv1.CustomUnitAmount{Minimum: minimum, Preset: preset, Maximum: maximum}
	})
}

func text(n int) string { return strings.Repeat("ü", n) }

func keys(n int) map[string]string {
	m := map[string]string{}
	for i := range n {
		m["key"+strconv.Itoa(i)] = "v"
	}
	return m
}

func listOf(n int, s string) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = s
	}
	return out
}

func features(n int, name string) []*catalogv1.MarketingFeature {
	out := make([]*catalogv1.MarketingFeature, n)
	for i := range out {
		out[i] = &catalogv1.MarketingFeature{Name: name}
	}
	return out
}

func dimensions(s string) edit {
	return product(func(p *catalogv1.Product) {
		p.PackageDimensions = &catalogv1.PackageDimensions{Height: s, Length: s, Weight: s, Width: s}
	})
}

// limits is every limit: the last allowed value, the first refused one, and the field that the refusal names.
var limits = []struct {
	name            string
	allowed, beyond edit
	field           string
}{
	{
		"a product has an id", product(func(p *catalogv1.Product) { p.Id = "a" }),
		product(func(p *catalogv1.Product) { p.Id = "" }), "id",
	},
	{
		"ids have at most 255 characters", product(func(p *catalogv1.Product) { p.Id = strings.Repeat("a", 255) }),
		product(func(p *catalogv1.Product) { p.Id = strings.Repeat("a", 256) }), "id",
	},
	{
		"ids need no escaping", product(func(p *catalogv1.Product) { p.Id = "aZ0_-" }),
		product(func(p *catalogv1.Product) { p.Id = "a b" }), "id",
	},
	{
		"a product has a name", product(func(p *catalogv1.Product) { p.Name = "a" }),
		product(func(p *catalogv1.Product) { p.Name = "" }), "name",
	},
	{
		"names have at most 5,000 characters", product(func(p *catalogv1.Product) { p.Name = text(5000) }),
		product(func(p *catalogv1.Product) { p.Name = text(5001) }), "name",
	},
	{
		"descriptions have at most 40,000 characters",
		product(func(p *catalogv1.Product) { p.Description = text(40000) }),
		product(func(p *catalogv1.Product) { p.Description = text(40001) }), "description",
	},
	{
		"8 images", product(func(p *catalogv1.Product) { p.Images = listOf(8, "https://a.example/i") }),
		product(func(p *catalogv1.Product) { p.Images = listOf(9, "https://a.example/i") }), "images",
	},
	{
		"images are URLs", product(func(p *catalogv1.Product) { p.Images = listOf(1, "https://a.example/i") }),
		product(func(p *catalogv1.Product) { p.Images = listOf(1, "an image") }), "images[0]",
	},
	{
		"15 marketing features", product(func(p *catalogv1.Product) { p.MarketingFeatures = features(15, "f") }),
		product(func(p *catalogv1.Product) { p.MarketingFeatures = features(16, "f") }), "marketing_features",
	},
	{
		"features of 80 characters",
		product(func(p *catalogv1.Product) { p.MarketingFeatures = features(1, text(80)) }),
		product(func(p *catalogv1.Product) { p.MarketingFeatures = features(1, text(81)) }),
		"marketing_features[0].name",
	},
	{
		"features have a name", product(func(p *catalogv1.Product) { p.MarketingFeatures = features(1, "f") }),
		product(func(p *catalogv1.Product) { p.MarketingFeatures = features(1, "") }), "marketing_features[0].name",
	},
	{
		"50 metadata keys", product(func(p *catalogv1.Product) { p.Metadata = keys(50) }),
		product(func(p *catalogv1.Product) { p.Metadata = keys(51) }), "metadata",
	},
	{
		"metadata keys of 40 characters",
		product(func(p *catalogv1.Product) { p.Metadata = map[string]string{text(40): "v"} }),
		product(func(p *catalogv1.Product) { p.Metadata = map[string]string{text(41): "v"} }), "metadata",
	},
	{
		"metadata keys without brackets",
		product(func(p *catalogv1.Product) { p.Metadata = map[string]string{"a.b": "v"} }),
		product(func(p *catalogv1.Product) { p.Metadata = map[string]string{"a[b": "v"} }), "metadata",
	},
	{
		"metadata values of 500 characters",
		product(func(p *catalogv1.Product) { p.Metadata = map[string]string{"k": text(500)} }),
		product(func(p *catalogv1.Product) { p.Metadata = map[string]string{"k": text(501)} }), "metadata",
	},
	{
		"metadata values are not empty",
		product(func(p *catalogv1.Product) { p.Metadata = map[string]string{"k": "v"} }),
		product(func(p *catalogv1.Product) { p.Metadata = map[string]string{"k": ""} }), "metadata",
	},
	{"dimensions of two decimals", dimensions("1.25"), dimensions("1.125"), "package_dimensions.height"},
	{
		"dimensions are all given", dimensions("1"),
		product(func(p *catalogv1.Product) { p.PackageDimensions = &catalogv1.PackageDimensions{Height: "1"} }),
		"package_dimensions.length",
	},
	{
		"descriptors of 22 characters",
		product(func(p *catalogv1.Product) { p.StatementDescriptor = strings.Repeat("a", 22) }),
		product(func(p *catalogv1.Product) { p.StatementDescriptor = strings.Repeat("a", 23) }),
		"statement_descriptor",
	},
	{
		"descriptors without < > \\ \" '", product(func(p *catalogv1.Product) { p.StatementDescriptor = "a&b" }),
		product(func(p *catalogv1.Product) { p.StatementDescriptor = "a'b" }), "statement_descriptor",
	},
	{
		"descriptors have a Latin letter", product(func(p *catalogv1.Product) { p.StatementDescriptor = "7x" }),
		product(func(p *catalogv1.Product) { p.StatementDescriptor = "77 Ж" }), "statement_descriptor",
	},
	{
		"unit labels of 12 characters", product(func(p *catalogv1.Product) { p.UnitLabel = text(12) }),
		product(func(p *catalogv1.Product) { p.UnitLabel = text(13) }), "unit_label",
	},
	{
		"URLs of 2,048 characters", product(func(p *catalogv1.Product) { p.Url = text(2048) }),
		product(func(p *catalogv1.Product) { p.Url = text(2049) }), "url",
	},
	{
		"the default price is one of the product's", product(func(p *catalogv1.Product) { p.DefaultPrice = "a" }),
		product(func(p *catalogv1.Product) { p.DefaultPrice = "z" }), "default_price",
	},
	{
		"the default price is active", product(func(p *catalogv1.Product) { p.DefaultPrice = "a" }),
		product(func(p *catalogv1.Product) { p.DefaultPrice, p.Prices[0].Active = "a", new(false) }), "default_price",
	},
	{
		"price ids are unique", product(func(p *catalogv1.Product) { p.Prices[1].Id = "c" }),
		product(func(p *catalogv1.Product) { p.Prices[1].Id = "a" }), `prices["a"].id`,
	},
	{
		"lookup keys are unique", priced(func(p *catalogv1.Price) { p.LookupKey = "c" }),
		priced(func(p *catalogv1.Price) { p.LookupKey = "b" }), `prices["b"].lookup_key`,
	},

	{
		"a price has an id", priced(func(p *catalogv1.Price) { p.Id = "x" }),
		priced(func(p *catalogv1.Price) { p.Id = "" }), "prices[0].id",
	},
	{
		"price ids have at most 200 characters", priced(func(p *catalogv1.Price) { p.Id = strings.Repeat("a", 200) }),
		priced(func(p *catalogv1.Price) { p.Id = strings.Repeat("a", 201) }),
		`prices["` + strings.Repeat("a", 201) + `"].id`,
	},
	{
		"price ids need no escaping", priced(func(p *catalogv1.Price) { p.Id = "aZ0_.:-" }),
		priced(func(p *catalogv1.Price) { p.Id = "a/b" }), `prices["a/b"].id`,
	},
	{
		"currencies have letters", priced(func(p *catalogv1.Price) { p.Currency = "xcg" }),
		priced(func(p *catalogv1.Price) { p.Currency = "eu1" }), `prices["a"].currency`,
	},
	{
		"currencies have three letters", priced(func(p *catalogv1.Price) { p.Currency = "sle" }),
		priced(func(p *catalogv1.Price) { p.Currency = "eu" }), `prices["a"].currency`,
	},
	{
		"or more", priced(func(p *catalogv1.Price) { p.Currency = "usdc" }),
		priced(func(p *catalogv1.Price) { p.Currency = "abcdefghi" }), `prices["a"].currency`,
	},
	{
		"currencies in lower case", priced(func(p *catalogv1.Price) { p.Currency = "kwd" }),
		priced(func(p *catalogv1.Price) { p.Currency = "USD" }), `prices["a"].currency`,
	},
	{
		"a price has an amount", priced(func(p *catalogv1.Price) { p.UnitAmount = "0" }),
		priced(func(p *catalogv1.Price) { p.UnitAmount = "" }), `prices["a"].unit_amount`,
	},
	{
		"a price has one amount", priced(func(p *catalogv1.Price) { p.UnitAmount, p.UnitAmountDecimal = "", "1" }),
		priced(func(p *catalogv1.Price) { p.UnitAmountDecimal = "1" }), `prices["a"].unit_amount`,
	},
	{
		"an amount or a custom amount", custom("", "", ""),
		priced(func(p *catalogv1.Price) { p.CustomUnitAmount = &catalogv1.CustomUnitAmount{} }),
		`prices["a"].unit_amount`,
	},
	{
		"amounts of 12 digits", priced(func(p *catalogv1.Price) { p.UnitAmount = "999999999999" }),
		priced(func(p *catalogv1.Price) { p.UnitAmount = "1000000000000" }), `prices["a"].unit_amount`,
	},
	{
		"amounts are not negative", priced(func(p *catalogv1.Price) { p.UnitAmount = "0" }),
		priced(func(p *catalogv1.Price) { p.UnitAmount = "-1" }), `prices["a"].unit_amount`,
	},
	{
		"amounts are whole", priced(func(p *catalogv1.Price) { p.UnitAmount = "10" }),
		priced(func(p *catalogv1.Price) { p.UnitAmount = "10.5" }), `prices["a"].unit_amount`,
	},
	{
		"12 decimals", priced(func(p *catalogv1.Price) { p.UnitAmount, p.UnitAmountDecimal = "", "0.123456789012" }),
		priced(func(p *catalogv1.Price) { p.UnitAmount, p.UnitAmountDecimal = "", "0.1234567890123" }),
		`prices["a"].unit_amount_decimal`,
	},
	{
		"billing schemes", priced(func(p *catalogv1.Price) { p.BillingScheme = "per_unit" }),
		priced(func(p *catalogv1.Price) { p.BillingScheme = "by_weight" }), `prices["a"].billing_scheme`,
	},
	{
		"nicknames of 5,000 characters", priced(func(p *catalogv1.Price) { p.Nickname = text(5000) }),
		priced(func(p *catalogv1.Price) { p.Nickname = text(5001) }), `prices["a"].nickname`,
	},
	{
		"lookup keys of 200 characters", priced(func(p *catalogv1.Price) { p.LookupKey = text(200) }),
		priced(func(p *catalogv1.Price) { p.LookupKey = text(201) }), `prices["a"].lookup_key`,
	},
	{
		"49 metadata keys of a price, since one is the mark",
		priced(func(p *catalogv1.Price) { p.Metadata = keys(49) }),
		priced(func(p *catalogv1.Price) { p.Metadata = keys(50) }), `prices["a"].metadata`,
	},
	{
		"tax behaviours", priced(func(p *catalogv1.Price) { p.TaxBehavior = "inclusive" }),
		priced(func(p *catalogv1.Price) { p.TaxBehavior = "maybe" }), `prices["a"].tax_behavior`,
	},
	{"intervals", recurring("week", 1), recurring("decade", 1), `prices["a"].recurring.interval`},
	{"1,095 days", recurring("day", 1095), recurring("day", 1096), `prices["a"].recurring.interval_count`},
	{"156 weeks", recurring("week", 156), recurring("week", 157), `prices["a"].recurring.interval_count`},
	{"36 months", recurring("month", 36), recurring("month", 37), `prices["a"].recurring.interval_count`},
	{"3 years", recurring("year", 3), recurring("year", 4), `prices["a"].recurring.interval_count`},
	{
		"usage types",
		priced(func(p *catalogv1.Price) {
			p.Recurring = &catalogv1.Recurring{Interval: "month", UsageType: "metered"}
		}), priced(func(p *catalogv1.Price) {
			p.Recurring = &catalogv1.Recurring{Interval: "month", UsageType: "guessed"}
		}), `prices["a"].recurring.usage_type`,
	},
	{
		"meters are for metered prices", priced(func(p *catalogv1.Price) {
			p.Recurring = &catalogv1.Recurring{Interval: "month", UsageType: "metered", Meter: "m"}
		}), priced(func(p *catalogv1.Price) { p.Recurring = &catalogv1.Recurring{Interval: "month", Meter: "m"} }),
		`prices["a"].recurring.usage_type`,
	},
	{
		"custom amounts do not recur", custom("1", "", ""),
		func(p *catalogv1.Product) { custom("1", "", "")(p); recurring("month", 1)(p) },
		`prices["a"].custom_unit_amount`,
	},
	{
		"the minimum is not above the maximum", custom("5", "", "5"), custom("6", "", "5"),
		`prices["a"].custom_unit_amount.maximum`,
	},
	{
		"the preset is not below the minimum", custom("5", "5", ""), custom("5", "4", ""),
		`prices["a"].custom_unit_amount.preset`,
	},
	{
		"the preset is not above the maximum", custom("", "5", "5"), custom("", "6", "5"),
		`prices["a"].custom_unit_amount.preset`,
	},
	{"quantities are divided by something", priced(func(p *catalogv1.Price) {
		p.TransformQuantity = &catalogv1.TransformQuantity{DivideBy: 1, Round: "up"}
	}), priced(func(p *catalogv1.Price) {
		p.TransformQuantity = &catalogv1.TransformQuantity{Round: "up"}
	}), `prices["a"].transform_quantity.divide_by`},
	{"quantities are rounded", priced(func(p *catalogv1.Price) {
		p.TransformQuantity = &catalogv1.TransformQuantity{DivideBy: 1, Round: "down"}
	}), priced(func(p *catalogv1.Price) {
		p.TransformQuantity = &catalogv1.TransformQuantity{DivideBy: 1}
	}), `prices["a"].transform_quantity.round`},

	{"a tiered price has tiers", tiered(&catalogv1.PriceTier{UnitAmount: "1"}), tiered(), `prices["a"].tiers`},
	{"tiers need their billing scheme", tiered(&catalogv1.PriceTier{UnitAmount: "1"}), func(p *catalogv1.Product) {
		tiered(&catalogv1.PriceTier{UnitAmount: "1"})(p)
		p.Prices[0].BillingScheme = "per_unit"
	}, `prices["a"].billing_scheme`},
	{"a tiered price recurs", tiered(&catalogv1.PriceTier{UnitAmount: "1"}), func(p *catalogv1.Product) {
		tiered(&catalogv1.PriceTier{UnitAmount: "1"})(p)
		p.Prices[0].Recurring = nil
	}, `prices["a"].recurring`},
	{"tiers need a mode", tiered(&catalogv1.PriceTier{FlatAmountDecimal: "1.5"}), func(p *catalogv1.Product) {
		tiered(&catalogv1.PriceTier{UnitAmount: "1"})(p)
		p.Prices[0].TiersMode = ""
	}, `prices["a"].tiers_mode`},
	{
		"a mode needs tiers", tiered(&catalogv1.PriceTier{UnitAmount: "1", FlatAmount: "2"}),
		priced(func(p *catalogv1.Price) { p.TiersMode = "volume" }), `prices["a"].tiers_mode`,
	},
	{
		"tiers are not combined with transform_quantity", tiered(&catalogv1.PriceTier{UnitAmount: "1"}),
		func(p *catalogv1.Product) {
			tiered(&catalogv1.PriceTier{UnitAmount: "1"})(p)
			p.Prices[0].TransformQuantity = &catalogv1.TransformQuantity{DivideBy: 2, Round: "up"}
		}, `prices["a"].transform_quantity`,
	},
	{
		"a tier has an amount", tiered(&catalogv1.PriceTier{FlatAmount: "0"}), tiered(&catalogv1.PriceTier{}),
		`prices["a"].tiers[0].unit_amount`,
	},
	{
		"a tier has one unit amount", tiered(&catalogv1.PriceTier{UnitAmountDecimal: "1"}),
		tiered(&catalogv1.PriceTier{UnitAmount: "1", UnitAmountDecimal: "1"}), `prices["a"].tiers[0].unit_amount`,
	},
	{
		"a tier has one flat amount", tiered(&catalogv1.PriceTier{FlatAmountDecimal: "1"}),
		tiered(&catalogv1.PriceTier{FlatAmount: "1", FlatAmountDecimal: "1"}), `prices["a"].tiers[0].flat_amount`,
	},
	{
		"the last tier has no end",
		tiered(&catalogv1.PriceTier{UpTo: "5", UnitAmount: "1"}, &catalogv1.PriceTier{UnitAmount: "1"}),
		tiered(&catalogv1.PriceTier{UpTo: "5", UnitAmount: "1"}), `prices["a"].tiers[0].up_to`,
	},
	{
		"the other tiers have one",
		tiered(&catalogv1.PriceTier{UpTo: "5", UnitAmount: "1"}, &catalogv1.PriceTier{UnitAmount: "1"}),
		tiered(&catalogv1.PriceTier{UnitAmount: "1"}, &catalogv1.PriceTier{UnitAmount: "1"}),
		`prices["a"].tiers[0].up_to`,
	},
	{
		"tiers rise",
		tiered(&catalogv1.PriceTier{UpTo: "9", UnitAmount: "1"}, &catalogv1.PriceTier{UpTo: "10", UnitAmount: "1"},
			&catalogv1.PriceTier{UnitAmount: "1"}),
		tiered(&catalogv1.PriceTier{UpTo: "10", UnitAmount: "1"}, &catalogv1.PriceTier{UpTo: "10", UnitAmount: "1"},
			&catalogv1.PriceTier{UnitAmount: "1"}),
		`prices["a"].tiers[1].up_to`,
	},

	{
		"options are in other currencies", option("eur", &catalogv1.CurrencyOption{UnitAmount: "1"}),
		option("usd", &catalogv1.CurrencyOption{UnitAmount: "1"}), `prices["a"].currency_options.usd`,
	},
	{
		"the currencies of options have letters", option("usdc", &catalogv1.CurrencyOption{UnitAmount: "1"}),
		option("q1q", &catalogv1.CurrencyOption{UnitAmount: "1"}), `prices["a"].currency_options.q1q`,
	},
	{
		"an option has an amount", option("eur", &catalogv1.CurrencyOption{UnitAmountDecimal: "1.5"}),
		option("eur", &catalogv1.CurrencyOption{TaxBehavior: "inclusive"}),
		`prices["a"].currency_options.eur.unit_amount`,
	},
	{
		"an option has one amount", option("eur", &catalogv1.CurrencyOption{UnitAmount: "1"}),
		option("eur", &catalogv1.CurrencyOption{UnitAmount: "1", UnitAmountDecimal: "1"}),
		`prices["a"].currency_options.eur.unit_amount`,
	},
	{
		"an option's amount is of the price's kind", option("eur", &catalogv1.CurrencyOption{UnitAmount: "1"}),
		option("eur", &catalogv1.CurrencyOption{CustomUnitAmount: &catalogv1.CustomUnitAmount{}}),
		`prices["a"].currency_options.eur`,
	},
	{
		"an option of a plain price has no tiers", option("eur", &catalogv1.CurrencyOption{UnitAmount: "1"}),
		option("eur", &catalogv1.CurrencyOption{Tiers: []*catalogv1.PriceTier{{UnitAmount: "1"}}}),
		`prices["a"].currency_options.eur`,
	},
}

func validProduct() *catalogv1.Product {
	return &catalogv1.Product{
		Id: "pro", Name: "Pro",
		Prices: []*catalogv1.Price{
			{Id: "a", Currency: "usd", UnitAmount: "1000"},
			{Id: "b", Currency: "usd", UnitAmount: "2000"},
		},
	}
}

// violations returns the violations of the contract's annotations and of Validate, by field.
func violations(t require.TestingT, p *catalogv1.Product) map[string]string {
	out := map[string]string{}
	err := protovalidate.Validate(p)
	var invalid *protovalidate.ValidationError
	if err != nil {
		require.ErrorAs(t, err, &invalid, "%v", err)
		for _, v := range invalid.Violations {
			field := protovalidate.FieldPathString(v.Proto.GetField())
			for i := range p.GetPrices() {
				if rest, ok := strings.CutPrefix(field, fmt.Sprintf("prices[%d]", i)); ok {
					field = catalog.PricePath(p, i) + rest
				}
			}
			if i := strings.Index(field, "metadata["); i >= 0 {
				field = field[:i] + "metadata"
			}
			out[field] = v.Proto.GetMessage()
		}
	}
	for _, v := range catalog.Validate(p) {
		out[v.Field] = v.Message
	}
	return out
}

func TestValidate_Limits(t *testing.T) {
	t.Parallel()
	require.Empty(t, violations(t, validProduct()))
	for _, c := range limits {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := validProduct()
			c.allowed(p)
			require.Empty(t, violations(t, p))
			accepted(t, p)

			p = validProduct()
			c.beyond(p)
			require.Contains(t, violations(t, p), c.field)
		})
	}
}

// accepted requires that Stripe accepts the product.
func accepted(t require.TestingT, p *catalogv1.Product) {
	s := &catalogtest.Stripe{}
	change := &catalogv1.ProductChange{ProductId: p.GetId(), Product: p}
	_, err := s.Pass(catalog.Diff(change, nil))
	require.NoError(t, err)
	require.Empty(t, catalog.Diff(change, s.Observed(p.GetId())))
}

func TestValidate_AcceptsGeneratedProducts(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		require.Empty(t, violations(t, catalogtest.Product(productID).Draw(t, "product")))
	})
}

func TestValidate_AcceptsOnlyWhatStripeAccepts(t *testing.T) {
	t.Parallel()
	all := make([]int, len(limits))
	for i := range all {
		all[i] = i
	}
	rapid.Check(t, func(t *rapid.T) {
		p := validProduct()
		// Several edits together, some beyond a limit. Stripe must accept every product that Validate and the
		// annotations accept.
		for _, i := range rapid.SliceOfNDistinct(rapid.SampledFrom(all), 1, 4, rapid.ID[int]).Draw(t, "edits") {
			before := proto.CloneOf(p)
			if limits[i].allowed(p); rapid.IntRange(0, 3).Draw(t, "beyond") == 0 {
				p = before
				limits[i].beyond(p)
			}
		}
		if len(violations(t, p)) == 0 {
			accepted(t, p)
		}
	})
}

func TestViolation_String(t *testing.T) {
	t.Parallel()
	p := validProduct()
	p.DefaultPrice = "z"
	p.Prices[1].Currency = "€"
	require.Equal(t, []string{
		`prices["b"].currency: must be a currency code of 3 to 8 letters in lower case, such as eur, not "€"`,
		"default_price: must be the id of one of the product's active prices, not z",
	}, strings.Split(strings.TrimSpace(joined(catalog.Validate(p))), "\n"))
}

func joined(vs []catalog.Violation) string {
	var b strings.Builder
	for _, v := range vs {
		fmt.Fprintln(&b, v)
	}
	return b.String()
}
