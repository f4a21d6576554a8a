package mapping

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// The structures of Stripe's fields. An empty one means that there is none.

// structure reads a structure of texts and numbers into an empty message. It returns nil if there is none.
func structure(field string, into protoreflect.Message, v value) protoreflect.Message {
	if v.isNone() {
		return nil
	}
	values, m := v.fields(), into.Interface()
	for _, part := range catalog.Parts(field) {
		if part.Lenient && values[part.Name].text() == "" {
			continue
		}
		if part.Type == catalog.PartWhole {
			part.SetWhole(m, values[part.Name].whole(part.Limit(m)))
		} else {
			part.SetText(m, values[part.Name].text())
		}
	}
	return into
}

func tiers(v value) []*catalogv1.PriceTier {
	var out []*catalogv1.PriceTier
	items := v.items()
	if len(items) > catalog.MaxParts {
		v.faultf("must have at most %d items, not %d", catalog.MaxParts, len(items))
		return nil
	}
	for _, item := range items {
		f := item.fields()
		upTo := f["up_to"].text()
		if upTo == "inf" {
			// Stripe's value on writing for a tier without an end.
			upTo = ""
		}
		tier := &catalogv1.PriceTier{UpTo: upTo}
		tier.UnitAmount, tier.UnitAmountDecimal = amounts(f["unit_amount"], f["unit_amount_decimal"])
		tier.FlatAmount, tier.FlatAmountDecimal = amounts(f["flat_amount"], f["flat_amount_decimal"])
		out = append(out, tier)
	}
	return out
}

// customAmount reads an amount that the customer chooses. An object without bounds is one too, unless it has enabled:
// false; see chosen.
func customAmount(v value) *catalogv1.CustomUnitAmount {
	if raw := bytes.TrimSpace(v.raw); len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	f := v.fields()
	if f["enabled"].text() == "false" {
		return nil
	}
	bound := func(name string) string {
		whole, fraction := amounts(f[name], value{})
		if fraction != "" {
			return fraction
		}
		return whole
	}
	return &catalogv1.CustomUnitAmount{Minimum: bound("minimum"), Maximum: bound("maximum"), Preset: bound("preset")}
}

// chosen distinguishes the two meanings of a custom amount without bounds. Beside another amount it is an empty
// structure, which means none.
func chosen(c *catalogv1.CustomUnitAmount, p interface {
	GetUnitAmount() string
	GetUnitAmountDecimal() string
	GetTiers() []*catalogv1.PriceTier
},
) *catalogv1.CustomUnitAmount {
	unbounded := c.GetMinimum() == "" && c.GetMaximum() == "" && c.GetPreset() == ""
	if unbounded && (p.GetUnitAmount() != "" || p.GetUnitAmountDecimal() != "" || len(p.GetTiers()) > 0) {
		return nil
	}
	return c
}

// currencies reads currency options. It converts the codes to lower case, as Stripe has them. Options that are NULL or
// empty are omitted.
func currencies(v value) map[string]*catalogv1.CurrencyOption {
	var out map[string]*catalogv1.CurrencyOption
	fields, spelled := v.fields(), map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		field := fields[name]
		if field.isNone() {
			continue
		}
		code := strings.ToLower(name)
		field.path = v.path + "." + catalog.Abridged(code)
		if other, ok := spelled[code]; ok {
			field.faultf("is given twice, as %q and as %q", catalog.Abridged(other), catalog.Abridged(name))
			continue
		}
		spelled[code] = name
		f := field.at("", field.raw).fields()
		option := &catalogv1.CurrencyOption{
			TaxBehavior:      f["tax_behavior"].text(),
			Tiers:            tiers(f["tiers"]),
			CustomUnitAmount: customAmount(f["custom_unit_amount"]),
		}
		option.UnitAmount, option.UnitAmountDecimal = amounts(f["unit_amount"], f["unit_amount_decimal"])
		option.CustomUnitAmount = chosen(option.GetCustomUnitAmount(), option)
		if out == nil {
			out = map[string]*catalogv1.CurrencyOption{}
		}
		out[code] = option
	}
	return out
}

// amounts returns an amount in the one of Stripe's two fields that fits.
func amounts(whole, fractional value) (unitAmount, unitAmountDecimal string) {
	return fitAmount(whole, whole.text(), fractional.text())
}

// fitAmount returns an amount as Stripe has it. A fraction of a minor unit is a mistake in the field for whole units,
// as in a price of 2348.5 cents that was computed as 21.35 * 110.
func fitAmount(whole value, amount, fractional string) (unitAmount, unitAmountDecimal string) {
	unitAmount, unitAmountDecimal = catalog.Amount(amount, fractional)
	if amount == "" || fractional != "" {
		return unitAmount, unitAmountDecimal
	}
	_, field, ok := cutLast(whole.path, ".")
	if !ok {
		field = whole.path
	}
	switch {
	case unitAmountDecimal != "":
		hint := fmt.Sprintf("or return it as %s_decimal, which may have 12 decimals", field)
		if !strings.HasSuffix(field, "_amount") {
			hint = "because Stripe accepts whole ones only"
		}
		whole.faultf("%s is not a whole number of minor units: round it in the query, as with round(price * 100), %s",
			abridge([]byte(amount)), hint)
		return "", ""
	case strings.ContainsAny(strings.ToLower(amount), "nif"):
		// NaN, Infinity.
		whole.faultf("%s is not an amount: return a number of minor units, or NULL", abridge([]byte(amount)))
		return "", ""
	}
	return unitAmount, unitAmountDecimal
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
