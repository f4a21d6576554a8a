package catalogtest

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// form is the body of a call. Reading a parameter removes it. finish refuses parameters that are left over or could not
// be read.
type form struct {
	values map[string]string
	err    error
}

func (f *form) fail(err error) {
	if f.err == nil {
		f.err = err
	}
}

func (f *form) finish() error {
	for _, name := range slices.Sorted(maps.Keys(f.values)) {
		f.fail(refuse("received unknown parameter, or one that cannot be changed: %s", name))
	}
	return f.err
}

// has reports whether a parameter, or a part of one, is given.
func (f *form) has(name string) bool {
	for given := range f.values {
		if given == name || strings.HasPrefix(given, name+"[") {
			return true
		}
	}
	return false
}

// hash removes name[...] and returns it as a form of its own.
func (f *form) hash(name string) *form {
	out := &form{values: map[string]string{}}
	for given, value := range f.values {
		if rest, ok := strings.CutPrefix(given, name+"["); ok {
			key, more, _ := strings.Cut(rest, "]")
			out.values[key+more] = value
			delete(f.values, given)
		}
	}
	return out
}

func (f *form) take(name string) string {
	v := f.values[name]
	delete(f.values, name)
	return v
}

func (f *form) text(name string, limit int, into *string) {
	if !f.has(name) {
		return
	}
	if *into = f.take(name); len([]rune(*into)) > limit {
		f.fail(refuse("%s has more than %d characters", name, limit))
	}
}

func (f *form) boolean(name string, set func(bool)) {
	if !f.has(name) {
		return
	}
	b, err := strconv.ParseBool(f.take(name))
	if err != nil {
		f.fail(refuse("%s must be true or false", name))
	}
	set(b)
}

func (f *form) integer(name string) int64 {
	if !f.has(name) {
		return 0
	}
	n, err := strconv.ParseInt(f.take(name), 10, 64)
	if err != nil || n < 0 {
		f.fail(refuse("invalid integer: %s", name))
	}
	return n
}

// decimal reads a number that is not negative and has at most the given number of decimals.
func (f *form) decimal(name string, places int) string {
	v := f.take(name)
	whole, fraction, _ := strings.Cut(v, ".")
	if whole == "" || strings.Trim(whole+fraction, "0123456789") != "" || len(fraction) > places {
		f.fail(refuse("invalid decimal: %s=%s", name, v))
	}
	return v
}

// indices returns the indices of name[index]..., in order.
func (f *form) indices(name string) []string {
	seen := map[string]bool{}
	for given := range f.values {
		if rest, ok := strings.CutPrefix(given, name+"["); ok {
			index, _, _ := strings.Cut(rest, "]")
			seen[index] = true
		}
	}
	return slices.SortedFunc(maps.Keys(seen), func(a, b string) int {
		x, err1 := strconv.Atoi(a)
		y, err2 := strconv.Atoi(b)
		if err1 == nil && err2 == nil {
			return x - y
		}
		return strings.Compare(a, b)
	})
}

// list reads name[0]suffix, name[1]suffix and so on. It returns nothing if the list is cleared.
func (f *form) list(name, suffix string) []string {
	f.take(name)
	var out []string
	for i, index := range f.indices(name) {
		if index != strconv.Itoa(i) {
			f.fail(refuse("%s[%s] does not follow on", name, index))
		}
		out = append(out, f.take(name+"["+index+"]"+suffix))
	}
	return out
}

// metadata merges by key, as Stripe does: an empty value removes the key, and an empty metadata removes all keys.
func (f *form) metadata(current map[string]string) (map[string]string, error) {
	out := maps.Clone(current)
	if out == nil {
		out = map[string]string{}
	}
	if _, ok := f.values["metadata"]; ok && f.take("metadata") == "" {
		clear(out)
	}
	for name, value := range f.values {
		key, ok := strings.CutPrefix(name, "metadata[")
		if !ok {
			continue
		}
		key = strings.TrimSuffix(key, "]")
		if key == "" || len([]rune(key)) > 40 || strings.ContainsAny(key, "[]") {
			return nil, refuse("invalid metadata key: %s", key)
		}
		if len([]rune(value)) > 500 {
			return nil, refuse("the value of metadata %s has more than 500 characters", key)
		}
		delete(f.values, name)
		if out[key] = value; value == "" {
			delete(out, key)
		}
	}
	if len(out) > 50 {
		return nil, refuse("metadata has %d keys, more than 50", len(out))
	}
	return out, nil
}

// checkForms refuses amounts in whole minor units next to decimals.
func (f *form) checkForms() error {
	forms := map[bool]string{}
	for name := range f.values {
		field := strings.TrimSuffix(name[strings.LastIndexByte(name, '[')+1:], "]")
		if whole := strings.TrimSuffix(field, "_decimal"); whole == "unit_amount" || whole == "flat_amount" {
			forms[whole == field] = name
		}
	}
	if len(forms) > 1 {
		return refuse("you may only specify one of these parameters: %s, %s", forms[true], forms[false])
	}
	return nil
}

// amounts is a price or a currency option.
type amounts interface {
	GetUnitAmount() string
	GetUnitAmountDecimal() string
	GetCustomUnitAmount() *catalogv1.CustomUnitAmount
	GetTiers() []*catalogv1.PriceTier
}

// readAmount reads the amount of a price, or of one of its currency options.
func (f *form) readAmount(prefix string, into amounts) {
	key := func(name string) string {
		if prefix == "" {
			return name
		}
		return prefix + "[" + name + "]"
	}
	whole := f.wholeAmount(key("unit_amount"))
	fractional := f.fractionalAmount(key("unit_amount_decimal"))
	var custom *catalogv1.CustomUnitAmount
	if f.has(key("custom_unit_amount")) {
		if f.take(key("custom_unit_amount")+"[enabled]") != "true" {
			f.fail(refuse("custom_unit_amount must be enabled"))
		}
		custom = &catalogv1.CustomUnitAmount{
			Minimum: f.wholeAmount(key("custom_unit_amount") + "[minimum]"),
			Maximum: f.wholeAmount(key("custom_unit_amount") + "[maximum]"),
			Preset:  f.wholeAmount(key("custom_unit_amount") + "[preset]"),
		}
	}
	var tiers []*catalogv1.PriceTier
	indices := f.indices(key("tiers"))
	for i, index := range indices {
		p := key("tiers") + "[" + index + "]"
		t := &catalogv1.PriceTier{
			UnitAmount:        f.wholeAmount(p + "[unit_amount]"),
			UnitAmountDecimal: f.fractionalAmount(p + "[unit_amount_decimal]"),
			FlatAmount:        f.wholeAmount(p + "[flat_amount]"),
			FlatAmountDecimal: f.fractionalAmount(p + "[flat_amount_decimal]"),
		}
		if upTo := f.take(p + "[up_to]"); upTo != "inf" {
			t.UpTo = upTo
		}
		if (t.UpTo == "") != (i == len(indices)-1) {
			f.fail(refuse("the last tier, and no other, is up to inf"))
		}
		tiers = append(tiers, t)
	}
	switch into := into.(type) {
	case *catalogv1.Price:
		into.UnitAmount, into.UnitAmountDecimal, into.CustomUnitAmount, into.Tiers = whole, fractional, custom, tiers
	case *catalogv1.CurrencyOption:
		into.UnitAmount, into.UnitAmountDecimal, into.CustomUnitAmount, into.Tiers = whole, fractional, custom, tiers
	}
}

func (f *form) wholeAmount(name string) string {
	if !f.has(name) {
		return ""
	}
	return f.decimal(name, 0)
}

func (f *form) fractionalAmount(name string) string {
	if !f.has(name) {
		return ""
	}
	return f.decimal(name, 12)
}

// checkAmount refuses a price unless its amount is given in exactly one way.
func checkAmount(p amounts, tiered bool) error {
	given := 0
	for _, b := range []bool{
		p.GetUnitAmount() != "", p.GetUnitAmountDecimal() != "", p.GetCustomUnitAmount() != nil, len(p.GetTiers()) > 0,
	} {
		if b {
			given++
		}
	}
	if given != 1 {
		return refuse(
			"exactly one of unit_amount, unit_amount_decimal, custom_unit_amount and tiers must be given, not %d",
			given)
	}
	if tiered != (len(p.GetTiers()) > 0) {
		return refuse("tiers are for billing_scheme tiered")
	}
	previous := int64(0)
	for _, t := range p.GetTiers() {
		if t.GetUnitAmount() != "" && t.GetUnitAmountDecimal() != "" ||
			t.GetFlatAmount() != "" && t.GetFlatAmountDecimal() != "" {
			return refuse("an amount of a tier is given twice")
		}
		if t.GetUnitAmount()+t.GetUnitAmountDecimal()+t.GetFlatAmount()+t.GetFlatAmountDecimal() == "" {
			return refuse("a tier needs an amount")
		}
		if t.GetUpTo() == "" {
			continue
		}
		upTo, err := strconv.ParseInt(t.GetUpTo(), 10, 64)
		if err != nil || upTo <= previous {
			return refuse("up_to must rise from tier to tier")
		}
		previous = upTo
	}
	if c := p.GetCustomUnitAmount(); c != nil {
		bound := func(s string, absent int64) int64 {
			if n, err := strconv.ParseInt(s, 10, 64); err == nil {
				return n
			}
			return absent
		}
		low, high := bound(c.GetMinimum(), 0), bound(c.GetMaximum(), 1<<62)
		if preset := bound(c.GetPreset(), low); low > high || preset < low || preset > high {
			return refuse("custom_unit_amount: the bounds cross, or preset lies outside them")
		}
	}
	return nil
}

// plain removes a decimal's needless zeros.
func plain(s string) string {
	whole, fraction, _ := strings.Cut(s, ".")
	if whole = strings.TrimLeft(whole, "0"); whole == "" && s != "" {
		whole = "0"
	}
	if fraction = strings.TrimRight(fraction, "0"); fraction != "" {
		return whole + "." + fraction
	}
	return whole
}

// readStructure reads the parts of a structure from the form.
func (f *form) readStructure(field string, structure proto.Message) {
	for _, part := range catalog.Parts(field) {
		name := field + "[" + part.Name + "]"
		if part.Type == catalog.PartWhole {
			part.SetWhole(structure, uint64(f.integer(name)))
			continue
		}
		part.SetText(structure, f.take(name))
	}
}
