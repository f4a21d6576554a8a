package catalog

import (
	"maps"
	"slices"
	"strconv"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
)

// field defines how one of Stripe's fields is written: as the settings that would give an object its value. Two values
// are equal when they are written alike. A field without a value is written as Stripe clears it, or as nothing where
// Stripe cannot clear it.
type field[T any] struct {
	name  string
	write func(T) []setting
}

func textSettings(name, value string) []setting { return []setting{newSetting(value, name)} }

// productFields are the fields of a product that Driftless writes, in the order of their names. Diff itself handles
// metadata, which Stripe merges by key, and default_price, which refers to another object.
var productFields = productFieldsOf(productTable)

// productWriters write the fields of a product that are not one text.
var productWriters = map[string]func(*catalogv1.Product) []setting{
	"active": func(p *catalogv1.Product) []setting {
		return textSettings("active", strconv.FormatBool(p.GetActive()))
	},
	"images": func(p *catalogv1.Product) []setting { return listSettings("images", p.GetImages(), "") },
	"marketing_features": func(p *catalogv1.Product) []setting {
		names := make([]string, len(p.GetMarketingFeatures()))
		for i, f := range p.GetMarketingFeatures() {
			names[i] = f.GetName()
		}
		return listSettings("marketing_features", names, "name")
	},
	"package_dimensions": func(p *catalogv1.Product) []setting {
		if p.GetPackageDimensions() == nil {
			return textSettings("package_dimensions", "")
		}
		return structureSettings("package_dimensions", p.GetPackageDimensions())
	},
	"shippable": func(p *catalogv1.Product) []setting {
		if p.Shippable == nil {
			return nil
		}
		return textSettings("shippable", strconv.FormatBool(p.GetShippable()))
	},
}

// productFieldsOf returns how the fields of the table are written: by their writer, or else as a text.
func productFieldsOf(table []Field) []field[*catalogv1.Product] {
	var out []field[*catalogv1.Product]
	for _, f := range table {
		write := productWriters[f.Name]
		if write == nil && f.Type == TypeText {
			text := textOf(&catalogv1.Product{}, f.Name)
			write = func(p *catalogv1.Product) []setting { return textSettings(f.Name, text(p)) }
		}
		if write != nil {
			out = append(out, field[*catalogv1.Product]{f.Name, write})
		}
	}
	return out
}

// textOf returns a function that returns a field of a message of the example's type.
func textOf(example proto.Message, name string) func(proto.Message) string {
	descriptor := example.ProtoReflect().Descriptor().Fields().ByName(protoreflect.Name(name))
	return func(m proto.Message) string { return m.ProtoReflect().Get(descriptor).String() }
}

// priceIdentity are the fields of a price that Stripe never changes. Another value means another Stripe price.
var priceIdentity = []field[*catalogv1.Price]{
	{
		"billing_scheme",
		func(p *catalogv1.Price) []setting { return textSettings("billing_scheme", p.GetBillingScheme()) },
	},
	{"currency", func(p *catalogv1.Price) []setting { return textSettings("currency", p.GetCurrency()) }},
	{
		"custom_unit_amount",
		func(p *catalogv1.Price) []setting {
			return customAmountSettings(p.GetCustomUnitAmount(), "custom_unit_amount")
		},
	},
	{"recurring", func(p *catalogv1.Price) []setting {
		if p.GetRecurring() == nil {
			return nil
		}
		return structureSettings("recurring", p.GetRecurring())
	}},
	{"tiers", func(p *catalogv1.Price) []setting { return tierSettings(p.GetTiers(), "tiers") }},
	{"tiers_mode", func(p *catalogv1.Price) []setting { return appendNonEmpty(nil, p.GetTiersMode(), "tiers_mode") }},
	{"transform_quantity", func(p *catalogv1.Price) []setting {
		if p.GetTransformQuantity() == nil {
			return nil
		}
		return structureSettings("transform_quantity", p.GetTransformQuantity())
	}},
	{"unit_amount", func(p *catalogv1.Price) []setting {
		return amountSettings(nil, "unit_amount", p.GetUnitAmount(), p.GetUnitAmountDecimal())
	}},
}

// text is a field that is one text.
type text[T proto.Message] struct {
	name string
	text func(T) string
}

// priceTexts are the fields of a price that are one text, which Stripe sets, changes and clears in place. lookup_key
// and tax_behavior have rules of their own.
var priceTexts = priceTextsOf(priceTable)

func priceTextsOf(table []Field) []text[*catalogv1.Price] {
	var out []text[*catalogv1.Price]
	for _, f := range table {
		if f.Type != TypeText || f.Fixed || f.Name == "lookup_key" || f.Name == "tax_behavior" {
			continue
		}
		of := textOf(&catalogv1.Price{}, f.Name)
		out = append(out, text[*catalogv1.Price]{f.Name, func(p *catalogv1.Price) string { return of(p) }})
	}
	return out
}

// appendPriceTexts adds the texts of a new price.
func appendPriceTexts(out []setting, p *catalogv1.Price) []setting {
	for _, f := range priceTexts {
		out = appendNonEmpty(out, f.text(p), f.name)
	}
	return out
}

// newPriceSettings writes the rest of a new price: everything except its identity, lookup key and texts.
func newPriceSettings(p *catalogv1.Price) []setting {
	out := currencyOptionsSettings(p.GetCurrencyOptions())
	if p.GetTaxBehavior() != "unspecified" {
		out = append(out, newSetting(p.GetTaxBehavior(), "tax_behavior"))
	}
	for k, v := range priceMetadata(p) {
		out = append(out, newSetting(v, "metadata", k))
	}
	return out
}

// fitsDefaultPriceData reports whether default_price_data can carry all of a price except its lookup key and texts.
// Stripe creates a product together with its default price from default_price_data.
func fitsDefaultPriceData(p *catalogv1.Price) bool {
	r := p.GetRecurring()
	return p.GetBillingScheme() == "per_unit" && len(p.GetTiers()) == 0 && p.GetTiersMode() == "" &&
		p.GetTransformQuantity() == nil &&
		(r == nil ||
			r.GetUsageType() == "licensed" && r.GetMeter() == "" && r.GetAggregateUsage() == "" &&
				r.GetTrialPeriodDays() == 0)
}

// defaultPriceDataSettings writes a price that fits it as the default_price_data of a product.
func defaultPriceDataSettings(p *catalogv1.Price) []setting {
	var out []setting
	for _, f := range priceIdentity {
		out = append(out, f.write(p)...)
	}
	out = slices.DeleteFunc(out, func(s setting) bool {
		return s.hasPath("billing_scheme") || s.hasPath("recurring", "usage_type")
	})
	out = unifyAmounts(append(out, newPriceSettings(p)...), p)
	for i := range out {
		out[i] = out[i].nestedIn("default_price_data")
	}
	return out
}

// currencyOptionSettings writes one currency option of a price.
func currencyOptionSettings(currency string, o *catalogv1.CurrencyOption) []setting {
	at := func(name string) []string { return []string{"currency_options", currency, name} }
	out := amountSettings([]string{"currency_options", currency}, "unit_amount", o.GetUnitAmount(),
		o.GetUnitAmountDecimal())
	if b := o.GetTaxBehavior(); b != "unspecified" {
		out = appendNonEmpty(out, b, at("tax_behavior")...)
	}
	out = append(out, tierSettings(o.GetTiers(), at("tiers")...)...)
	return append(out, customAmountSettings(o.GetCustomUnitAmount(), at("custom_unit_amount")...)...)
}

func currencyOptionsSettings(options map[string]*catalogv1.CurrencyOption) []setting {
	var out []setting
	for _, currency := range slices.Sorted(maps.Keys(options)) {
		out = append(out, currencyOptionSettings(currency, options[currency])...)
	}
	return out
}

// listSettings writes a list of texts, or of structures that have one part with the given name.
func listSettings(name string, values []string, part string) []setting {
	if len(values) == 0 {
		return textSettings(name, "")
	}
	out := make([]setting, len(values))
	for i, v := range values {
		out[i] = newSetting(v, name, strconv.Itoa(i), part)
	}
	return out
}

// appendNonEmpty adds a setting unless its value is empty.
func appendNonEmpty(out []setting, value string, path ...string) []setting {
	if value == "" {
		return out
	}
	return append(out, newSetting(value, path...))
}

func tierSettings(tiers []*catalogv1.PriceTier, path ...string) []setting {
	var out []setting
	for i, t := range tiers {
		at := slices.Concat(path, []string{strconv.Itoa(i)})
		upTo := t.GetUpTo()
		if upTo == "" {
			upTo = "inf"
		}
		out = append(out, amountSettings(at, "flat_amount", t.GetFlatAmount(), t.GetFlatAmountDecimal())...)
		out = append(out, amountSettings(at, "unit_amount", t.GetUnitAmount(), t.GetUnitAmountDecimal())...)
		out = append(out, newSetting(upTo, append(at, "up_to")...))
	}
	return out
}

func customAmountSettings(c *catalogv1.CustomUnitAmount, path ...string) []setting {
	if c == nil {
		return nil
	}
	at := func(name string) []string { return slices.Concat(path, []string{name}) }
	out := []setting{newSetting("true", at("enabled")...)}
	out = appendNonEmpty(out, c.GetMaximum(), at("maximum")...)
	out = appendNonEmpty(out, c.GetMinimum(), at("minimum")...)
	return appendNonEmpty(out, c.GetPreset(), at("preset")...)
}
