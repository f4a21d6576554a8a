package stripesim

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// shape defines the form of a parameter. The shapes of all operations are tables, in operation.go and in the files of
// the objects, so that a test can compare them with Stripe's OpenAPI document.
type shape struct {
	kind     kind
	max      int      // characters of a string, elements of a list
	choices  []string // of an enumeration
	required bool
	// clears means that the parameter may be sent empty, which clears the field. undocumented is the evidence if the
	// OpenAPI document does not say so.
	clears       bool
	undocumented string
	fields       map[string]shape // of a hash
	item         *shape           // of a list, or of a map
	// from and before limit the API versions that have the parameter.
	from, before string
}

type kind int

const (
	text kind = iota
	boolean
	integer
	amount        // an integer that is not negative
	amountDecimal // not negative, with up to twelve places
	measure       // a size or weight, with up to two places
	enumeration
	address
	currencyCode
	hash
	list
	mapping // a hash with free keys
	metadata
	inf       // an integer, or the word inf
	timeRange // an integer, or a hash of bounds
)

// metadata's limits (https://docs.stripe.com/metadata).
const (
	metadataKeys  = 50
	metadataKey   = 40
	metadataValue = 500
)

// check compares a request with the shapes of its operation and returns the first error that Stripe would return.
func check(f *field, shapes map[string]shape, c checker) *refusal {
	var unknown []string
	for _, k := range f.keys {
		if s, ok := shapes[k]; !ok || !s.known(c.version) {
			unknown = append(unknown, f.sub[k].name)
		}
	}
	if len(unknown) > 0 {
		plural := ""
		if len(unknown) > 1 {
			plural = "s"
		}
		return invalid("parameter_unknown", unknown[0], "Received unknown parameter%s: %s", plural,
			strings.Join(unknown, ", "))
	}
	for _, k := range f.keys {
		if r := c.check(f.sub[k], shapes[k]); r != nil {
			return r
		}
	}
	for _, name := range sortedKeys(shapes) {
		if s := shapes[name]; s.required && f.sub[name] == nil {
			full := name
			if f.name != "" {
				full = f.name + "[" + name + "]"
			}
			return invalid("parameter_missing", full, "Missing required param: %s.", full)
		}
	}
	return nil
}

type checker struct {
	version string
	// documentedOnly refuses to clear a field unless Stripe documents that it can be cleared.
	documentedOnly bool
}

func (s shape) known(version string) bool {
	return (s.from == "" || version >= s.from) && (s.before == "" || version < s.before)
}

func (c checker) check(f *field, s shape) *refusal {
	if f.cleared() {
		if s.clears && (s.undocumented == "" || !c.documentedOnly) {
			return nil
		}
		return invalid("parameter_invalid_empty", f.name,
			"You passed an empty string for '%s'. We assume empty values are an attempt to unset a parameter; "+
				"however '%s' cannot be unset. You should remove '%s' from your request or supply a non-empty value.",
			f.name, f.name, f.name)
	}
	switch s.kind {
	case hash:
		if f.hasValue {
			return invalid("", f.name, "Invalid object")
		}
		return check(f, s.fields, c)
	case timeRange:
		if f.hasValue {
			return checkInteger(f)
		}
		return check(f, s.fields, c)
	case mapping:
		if f.hasValue {
			return invalid("", f.name, "Invalid object")
		}
		for _, k := range f.keys {
			if r := c.check(f.sub[k], *s.item); r != nil {
				return r
			}
		}
		return nil
	case metadata:
		return checkMetadata(f)
	case list:
		return c.list(f, s)
	default:
		if !f.hasValue || len(f.sub) > 0 {
			return invalid("", f.name, "Invalid %s", s.kind.noun())
		}
		return s.scalar(f)
	}
}

func (c checker) list(f *field, s shape) *refusal {
	if f.hasValue {
		return invalid("", f.name, "Invalid array")
	}
	for _, k := range f.keys {
		if _, err := strconv.ParseUint(k, 10, 32); err != nil {
			return invalid("", f.name, "Invalid array")
		}
	}
	if s.max > 0 && len(f.keys) > s.max {
		return invalid("", f.name, "Invalid array: %s can have at most %d elements, but you passed %d.", f.name, s.max,
			len(f.keys))
	}
	for _, item := range f.items() {
		if r := c.check(item, *s.item); r != nil {
			return r
		}
	}
	return nil
}

func (k kind) noun() string {
	switch k {
	case boolean:
		return "boolean"
	case integer, amount, inf:
		return "integer"
	case amountDecimal, measure:
		return "decimal"
	default:
		return "string"
	}
}

func (s shape) scalar(f *field) *refusal {
	switch s.kind {
	case boolean:
		if f.value != "true" && f.value != "false" {
			return invalid("", f.name, "Invalid boolean: %s", f.value)
		}
	case inf:
		if f.value == "inf" {
			return nil
		}
		return checkInteger(f)
	case integer:
		return checkInteger(f)
	case amount:
		if r := checkInteger(f); r != nil {
			return r
		}
		if strings.HasPrefix(f.value, "-") {
			return invalid("parameter_invalid_integer", f.name, "Invalid non-negative integer")
		}
	case amountDecimal:
		if strings.HasPrefix(f.value, "-") {
			return invalid("", f.name, "Invalid non-negative decimal: %s", f.value)
		}
		if _, ok := parseDecimal(f.value, maxDecimalPlaces); !ok {
			return invalid("", f.name, "Invalid decimal: %s; must contain at maximum 12 decimal places.", f.value)
		}
	case measure:
		if d, ok := parseDecimal(f.value, 2); !ok || d == "0" {
			return invalid("", f.name,
				"Invalid decimal: %s; must be greater than 0 and contain at maximum 2 decimal places.", f.value)
		}
	case enumeration:
		if !slices.Contains(s.choices, f.value) {
			return invalid("", f.name, "Invalid %s: must be one of %s", f.name, orList(s.choices))
		}
	case currencyCode:
		if !currencies[strings.ToLower(f.value)] {
			return unknownCurrency(f.name, f.value)
		}
	case address:
		if u, err := url.Parse(f.value); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return invalid("url_invalid", f.name, "Not a valid URL")
		}
		return s.length(f)
	default:
		return s.length(f)
	}
	return nil
}

func (s shape) length(f *field) *refusal {
	if !utf8.ValidString(f.value) {
		return invalid("", f.name, "Invalid UTF-8 encoding in request parameter '%s'", f.name)
	}
	if s.max == 0 || utf8.RuneCountInString(f.value) <= s.max {
		return nil
	}
	runes := []rune(f.value)
	return invalid("", f.name, "Invalid string: %s...%s; must be at most %d characters",
		string(runes[:min(10, len(runes))]), string(runes[max(0, len(runes)-10):]), s.max)
}

func checkInteger(f *field) *refusal {
	if _, err := strconv.ParseInt(f.value, 10, 64); err != nil {
		return invalid("parameter_invalid_integer", f.name, "Invalid integer: %s", f.value)
	}
	return nil
}

func checkMetadata(f *field) *refusal {
	if f.hasValue {
		return invalid("", f.name, "Invalid object")
	}
	for _, k := range f.keys {
		v := f.sub[k]
		switch {
		case !v.hasValue:
			return invalid("", v.name, "Invalid string")
		case k == "":
			return invalid("", f.name, "Metadata keys must not be empty.")
		case utf8.RuneCountInString(k) > metadataKey:
			return invalid("", f.name,
				"Metadata keys can have up to %d characters, but you passed in a key that is %d characters. Invalid "+
					"key: %s",
				metadataKey, utf8.RuneCountInString(k), k)
		case utf8.RuneCountInString(v.value) > metadataValue:
			return invalid("", v.name,
				"Metadata values can have up to %d characters, but you passed in a value that is %d characters. "+
					"Invalid value: %s",
				metadataValue, utf8.RuneCountInString(v.value), v.value)
		case !utf8.ValidString(k) || !utf8.ValidString(v.value):
			return invalid("", f.name, "Invalid UTF-8 encoding in request parameter '%s'", f.name)
		}
	}
	return nil
}

// mergeMetadata applies metadata as Stripe does: key by key. An empty value removes its key, and an empty metadata
// removes all keys.
func mergeMetadata(old map[string]string, f *field) (map[string]string, *refusal) {
	if f == nil {
		return old, nil
	}
	out := map[string]string{}
	if !f.cleared() {
		maps.Copy(out, old)
	}
	for _, k := range f.keys {
		if v := f.sub[k].value; v == "" {
			delete(out, k)
		} else {
			out[k] = v
		}
	}
	if len(out) > metadataKeys {
		return nil, invalid("", f.name, "You can have up to %d metadata keys, but the object would have %d.",
			metadataKeys, len(out))
	}
	return out, nil
}

func orList(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return fmt.Sprintf("%s, or %s", strings.Join(words[:len(words)-1], ", "), words[len(words)-1])
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
