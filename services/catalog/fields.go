package catalog

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
)

// field says how one of Stripe's fields is written: as the parameters that would set an object to its value. Two
// values are equal when they are written alike. A field without a value is written as Stripe clears it, or as
// nothing where Stripe cannot clear it.
type field[T any] struct {
	name  string
	write func(T) []Param
}

func text(name, value string) []Param { return []Param{{Name: name, Value: value}} }

// productFields are the fields of a product that Driftless writes. Metadata, which Stripe merges by key, and
// default_price, which refers to another object, are handled by Diff itself.
var productFields = []field[*catalogv1.Product]{
	{"active", func(p *catalogv1.Product) []Param { return text("active", strconv.FormatBool(p.GetActive())) }},
	{"description", func(p *catalogv1.Product) []Param { return text("description", p.GetDescription()) }},
	{"images", func(p *catalogv1.Product) []Param { return list("images", p.GetImages(), "") }},
	{"marketing_features", func(p *catalogv1.Product) []Param {
		names := make([]string, len(p.GetMarketingFeatures()))
		for i, f := range p.GetMarketingFeatures() {
			names[i] = f.GetName()
		}
		return list("marketing_features", names, "[name]")
	}},
	{"name", func(p *catalogv1.Product) []Param { return text("name", p.GetName()) }},
	{"package_dimensions", func(p *catalogv1.Product) []Param {
		if p.GetPackageDimensions() == nil {
			return text("package_dimensions", "")
		}
		return writeStructure("package_dimensions", p.GetPackageDimensions())
	}},
	{"shippable", func(p *catalogv1.Product) []Param {
		if p.Shippable == nil {
			return nil
		}
		return text("shippable", strconv.FormatBool(p.GetShippable()))
	}},
	{"statement_descriptor", func(p *catalogv1.Product) []Param { return text("statement_descriptor", p.GetStatementDescriptor()) }},
	{"tax_code", func(p *catalogv1.Product) []Param { return text("tax_code", p.GetTaxCode()) }},
	{"unit_label", func(p *catalogv1.Product) []Param { return text("unit_label", p.GetUnitLabel()) }},
	{"url", func(p *catalogv1.Product) []Param { return text("url", p.GetUrl()) }},
}

// priceIdentity are the fields of a price that Stripe never changes: another value means another Stripe price.
var priceIdentity = []field[*catalogv1.Price]{
	{"billing_scheme", func(p *catalogv1.Price) []Param { return text("billing_scheme", p.GetBillingScheme()) }},
	{"currency", func(p *catalogv1.Price) []Param { return text("currency", p.GetCurrency()) }},
	{"custom_unit_amount", func(p *catalogv1.Price) []Param { return custom("custom_unit_amount", p.GetCustomUnitAmount()) }},
	{"recurring", func(p *catalogv1.Price) []Param {
		if p.GetRecurring() == nil {
			return nil
		}
		return writeStructure("recurring", p.GetRecurring())
	}},
	{"tiers", func(p *catalogv1.Price) []Param { return tiers("tiers", p.GetTiers()) }},
	{"tiers_mode", func(p *catalogv1.Price) []Param { return optional(nil, "tiers_mode", p.GetTiersMode()) }},
	{"transform_quantity", func(p *catalogv1.Price) []Param {
		if p.GetTransformQuantity() == nil {
			return nil
		}
		return writeStructure("transform_quantity", p.GetTransformQuantity())
	}},
	{"unit_amount", func(p *catalogv1.Price) []Param {
		return amount("", "unit_amount", p.GetUnitAmount(), p.GetUnitAmountDecimal())
	}},
}

// newPrice writes what a price is created with besides its identity and its names.
func newPrice(p *catalogv1.Price) []Param {
	out := currencyOptions(p.GetCurrencyOptions())
	if p.GetTaxBehavior() != "unspecified" {
		out = append(out, Param{Name: "tax_behavior", Value: p.GetTaxBehavior()})
	}
	for k, v := range priceMetadata(p) {
		out = append(out, Param{Name: "metadata[" + k + "]", Value: v})
	}
	return out
}

// fitsDefaultPriceData says whether default_price_data, with which a product is created, can carry all of a price but
// its lookup key and nickname.
func fitsDefaultPriceData(p *catalogv1.Price) bool {
	r := p.GetRecurring()
	return p.GetBillingScheme() == "per_unit" && len(p.GetTiers()) == 0 && p.GetTiersMode() == "" && p.GetTransformQuantity() == nil &&
		(r == nil || r.GetUsageType() == "licensed" && r.GetMeter() == "" && r.GetAggregateUsage() == "" && r.GetTrialPeriodDays() == 0)
}

// defaultPriceData writes a price that fits it as a product's default_price_data.
func defaultPriceData(p *catalogv1.Price) []Param {
	var out []Param
	for _, f := range priceIdentity {
		out = append(out, f.write(p)...)
	}
	out = slices.DeleteFunc(out, func(p Param) bool { return p.Name == "billing_scheme" || p.Name == "recurring[usage_type]" })
	out = inOneForm(append(out, newPrice(p)...), p)
	for i := range out {
		name, rest, nested := strings.Cut(out[i].Name, "[")
		if out[i].Name = "default_price_data[" + name + "]"; nested {
			out[i].Name += "[" + rest
		}
	}
	return out
}

// currencyOption writes one currency option of a price.
func currencyOption(currency string, o *catalogv1.CurrencyOption) []Param {
	prefix := "currency_options[" + currency + "]"
	out := amount(prefix, "unit_amount", o.GetUnitAmount(), o.GetUnitAmountDecimal())
	if b := o.GetTaxBehavior(); b != "unspecified" {
		out = optional(out, prefix+"[tax_behavior]", b)
	}
	out = append(out, tiers(prefix+"[tiers]", o.GetTiers())...)
	return append(out, custom(prefix+"[custom_unit_amount]", o.GetCustomUnitAmount())...)
}

func currencyOptions(options map[string]*catalogv1.CurrencyOption) []Param {
	var out []Param
	for _, currency := range slices.Sorted(maps.Keys(options)) {
		out = append(out, currencyOption(currency, options[currency])...)
	}
	return out
}

func list(name string, values []string, suffix string) []Param {
	if len(values) == 0 {
		return text(name, "")
	}
	out := make([]Param, len(values))
	for i, v := range values {
		out[i] = Param{Name: name + "[" + strconv.Itoa(i) + "]" + suffix, Value: v}
	}
	return out
}

func optional(out []Param, name, value string) []Param {
	if value == "" {
		return out
	}
	return append(out, Param{Name: name, Value: value})
}

func tiers(prefix string, tiers []*catalogv1.PriceTier) []Param {
	var out []Param
	for i, t := range tiers {
		p := prefix + "[" + strconv.Itoa(i) + "]"
		upTo := t.GetUpTo()
		if upTo == "" {
			upTo = "inf"
		}
		out = append(out, amount(p, "flat_amount", t.GetFlatAmount(), t.GetFlatAmountDecimal())...)
		out = append(out, amount(p, "unit_amount", t.GetUnitAmount(), t.GetUnitAmountDecimal())...)
		out = append(out, Param{Name: p + "[up_to]", Value: upTo})
	}
	return out
}

func custom(prefix string, c *catalogv1.CustomUnitAmount) []Param {
	if c == nil {
		return nil
	}
	out := text(prefix+"[enabled]", "true")
	out = optional(out, prefix+"[maximum]", c.GetMaximum())
	out = optional(out, prefix+"[minimum]", c.GetMinimum())
	return optional(out, prefix+"[preset]", c.GetPreset())
}
