package stripesim

import (
	"maps"
	"strconv"
	"strings"
)

// option is the amount of a price in one currency: its own, or one of its currency options.
type option struct {
	Amount      decimal `json:"amount,omitempty"`
	Custom      *custom `json:"custom,omitempty"`
	TaxBehavior string  `json:"tax_behavior"`
	Tiers       []tier  `json:"tiers,omitempty"`
}

// custom is an amount that the customer chooses.
type custom struct {
	Maximum decimal `json:"maximum,omitempty"`
	Minimum decimal `json:"minimum,omitempty"`
	Preset  decimal `json:"preset,omitempty"`
}

// tier is one step of a tiered price. UpTo is empty on the last.
type tier struct {
	Flat decimal `json:"flat,omitempty"`
	Unit decimal `json:"unit,omitempty"`
	UpTo decimal `json:"up_to,omitempty"`
}

type optionJSON struct {
	CustomUnitAmount  *customJSON `json:"custom_unit_amount"`
	TaxBehavior       string      `json:"tax_behavior"`
	Tiers             *[]tierJSON `json:"tiers,omitempty"`
	UnitAmount        *int64      `json:"unit_amount"`
	UnitAmountDecimal *string     `json:"unit_amount_decimal"`
}

type customJSON struct {
	Maximum *int64 `json:"maximum"`
	Minimum *int64 `json:"minimum"`
	Preset  *int64 `json:"preset"`
}

type tierJSON struct {
	FlatAmount        *int64  `json:"flat_amount"`
	FlatAmountDecimal *string `json:"flat_amount_decimal"`
	UnitAmount        *int64  `json:"unit_amount"`
	UnitAmountDecimal *string `json:"unit_amount_decimal"`
	UpTo              *int64  `json:"up_to"`
}

var taxBehaviorParam = shape{kind: enumeration, choices: []string{"exclusive", "inclusive", "unspecified"}}

var customUnitAmountParam = shape{kind: hash, fields: map[string]shape{
	"enabled": {kind: boolean, required: true}, "maximum": {kind: amount}, "minimum": {kind: amount},
	"preset": {kind: amount},
}}

var tiersParam = shape{kind: list, item: &shape{kind: hash, fields: map[string]shape{
	"flat_amount": {kind: amount}, "flat_amount_decimal": {kind: amountDecimal},
	"unit_amount": {kind: amount}, "unit_amount_decimal": {kind: amountDecimal}, "up_to": {kind: inf, required: true},
}}}

var currencyOptionsParam = shape{kind: mapping, item: &shape{kind: hash, fields: map[string]shape{
	"custom_unit_amount": customUnitAmountParam, "tax_behavior": taxBehaviorParam, "tiers": tiersParam,
	"unit_amount": {kind: amount}, "unit_amount_decimal": {kind: amountDecimal},
}}}

func newOption(f *field, taxBehavior string) (option, *refusal) {
	o := option{TaxBehavior: taxBehavior}
	var r *refusal
	if o.Amount, r = readAmount(f, "unit_amount"); r != nil {
		return o, r
	}
	if o.Custom, r = readCustom(f.get("custom_unit_amount")); r != nil {
		return o, r
	}
	if o.Tiers, r = readTiers(f.get("tiers")); r != nil {
		return o, r
	}
	if s := f.text("tax_behavior"); s != "" {
		o.TaxBehavior = s
	}
	return o, nil
}

// readAmount reads an amount from either of Stripe's two fields.
func readAmount(f *field, name string) (decimal, *refusal) {
	whole, fractional := f.get(name), f.get(name+"_decimal")
	switch {
	case whole != nil && fractional != nil:
		return "", invalid("parameters_exclusive", whole.name, "You may only specify one of these parameters: %s, %s.",
			whole.name, fractional.name)
	case whole != nil:
		n, _ := strconv.ParseInt(whole.value, 10, 64)
		return wholeDecimal(n), nil
	case fractional != nil:
		d, _ := parseDecimal(fractional.value, maxDecimalPlaces)
		return d, nil
	}
	return "", nil
}

func readCustom(f *field) (*custom, *refusal) {
	if f == nil {
		return nil, nil
	}
	if enabled, _ := f.flag("enabled"); !enabled {
		return nil, invalid("", f.get("enabled").name, "`enabled` must be true.")
	}
	out := &custom{}
	for name, to := range map[string]*decimal{"maximum": &out.Maximum, "minimum": &out.Minimum, "preset": &out.Preset} {
		if n, sent := f.integer(name); sent {
			*to = wholeDecimal(n)
		}
	}
	minimum, hasMinimum := out.Minimum.whole()
	maximum, hasMaximum := out.Maximum.whole()
	preset, hasPreset := out.Preset.whole()
	switch {
	case hasMinimum && hasMaximum && minimum > maximum:
		return nil, invalid("", f.get("maximum").name, "`maximum` must be greater than or equal to `minimum`.")
	case hasPreset && (hasMinimum && preset < minimum || hasMaximum && preset > maximum):
		return nil, invalid("", f.get("preset").name, "`preset` must be between `minimum` and `maximum`.")
	}
	return out, nil
}

func readTiers(f *field) ([]tier, *refusal) {
	items := f.items()
	out := make([]tier, len(items))
	last := int64(0)
	for i, item := range items {
		t := &out[i]
		var r *refusal
		if t.Unit, r = readAmount(item, "unit_amount"); r != nil {
			return nil, r
		}
		if t.Flat, r = readAmount(item, "flat_amount"); r != nil {
			return nil, r
		}
		if t.Unit == "" && t.Flat == "" {
			return nil, invalid("parameter_missing", item.name,
				"Each tier must have at least one of `unit_amount`, `unit_amount_decimal`, `flat_amount`, or "+
					"`flat_amount_decimal`.")
		}
		upTo := item.get("up_to")
		end := upTo.value == "inf"
		switch n, _ := strconv.ParseInt(upTo.value, 10, 64); {
		case end != (i == len(items)-1):
			return nil, invalid("", upTo.name, "The last tier, and only the last, must have `up_to` set to `inf`.")
		case !end && n <= last:
			return nil, invalid("", upTo.name, "`up_to` must be greater than that of the previous tier.")
		case !end:
			t.UpTo, last = wholeDecimal(n), n
		}
	}
	return out, nil
}

// checkTaxBehavior lets a tax behavior be chosen once.
func checkTaxBehavior(param, old, wanted string) *refusal {
	if old != "unspecified" && old != wanted {
		return refuse("", param, "`tax_behavior` cannot be changed once it has been set to `inclusive` or `exclusive`.")
	}
	return nil
}

// mergeOptions adds or replaces currency options, or removes all of them.
func (p *price) mergeOptions(f *field) (map[string]option, *refusal) {
	if f == nil {
		return p.Options, nil
	}
	if f.cleared() {
		return nil, nil
	}
	out := maps.Clone(p.Options)
	if out == nil {
		out = map[string]option{}
	}
	for _, key := range f.keys {
		given, currency := f.sub[key], strings.ToLower(key)
		if !currencies[currency] {
			return nil, unknownCurrency(given.name, key)
		}
		if currency == p.Currency {
			return nil, refuse("", given.name,
				"You cannot specify the price's own currency (%s) in `currency_options`.", currency)
		}
		behavior := "unspecified"
		old, held := out[currency]
		if held {
			behavior = old.TaxBehavior
		}
		o, r := newOption(given, behavior)
		if r != nil {
			return nil, r
		}
		if held {
			if r := checkTaxBehavior(given.name+"[tax_behavior]", behavior, o.TaxBehavior); r != nil {
				return nil, r
			}
			if o.Amount == "" && o.Custom == nil && len(o.Tiers) == 0 {
				o.Amount, o.Custom, o.Tiers = old.Amount, old.Custom, old.Tiers
			}
		}
		if r := p.checkOption(given.name, o); r != nil {
			return nil, r
		}
		out[currency] = o
	}
	return out, nil
}

// checkOption requires an option to give its amount in the same way as the price.
func (p *price) checkOption(param string, o option) *refusal {
	switch {
	case p.BillingScheme == "tiered" && (len(o.Tiers) == 0 || o.Amount != "" || o.Custom != nil):
		return invalid("", param,
			"Currency options of a tiered price must specify `tiers`, and nothing else to charge.")
	case p.BillingScheme != "tiered" && len(o.Tiers) > 0:
		return invalid("", param, "`tiers` can only be set if `billing_scheme=tiered`.")
	case p.Custom != nil && (o.Custom == nil || o.Amount != ""):
		return invalid("", param,
			"Currency options of a price with `custom_unit_amount` must specify `custom_unit_amount`.")
	case p.BillingScheme != "tiered" && p.Custom == nil && (o.Amount == "" || o.Custom != nil):
		return invalid("", param, "Currency options must specify one of `unit_amount` or `unit_amount_decimal`.")
	}
	return nil
}

func (o option) render() *optionJSON {
	out := &optionJSON{
		CustomUnitAmount: o.Custom.render(), TaxBehavior: o.TaxBehavior, UnitAmount: o.Amount.integer(),
		UnitAmountDecimal: o.Amount.text(),
	}
	if len(o.Tiers) > 0 {
		out.Tiers = renderTiers(o.Tiers)
	}
	return out
}

func (c *custom) render() *customJSON {
	if c == nil {
		return nil
	}
	return &customJSON{Maximum: c.Maximum.integer(), Minimum: c.Minimum.integer(), Preset: c.Preset.integer()}
}

func renderTiers(tiers []tier) *[]tierJSON {
	out := make([]tierJSON, len(tiers))
	for i, t := range tiers {
		out[i] = tierJSON{
			FlatAmount: t.Flat.integer(), FlatAmountDecimal: t.Flat.text(),
			UnitAmount: t.Unit.integer(), UnitAmountDecimal: t.Unit.text(), UpTo: t.UpTo.integer(),
		}
	}
	return &out
}
