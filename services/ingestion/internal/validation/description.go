package validation

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/proto"

	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// patterns describes the contract's patterns in words. catalog.Validate describes a currency's pattern.
var patterns = map[string]string{
	`^[A-Za-z0-9_-]+$`:        "may hold only letters, digits, _ and -",
	`^[A-Za-z0-9_.:-]+$`:      "may hold only letters, digits, _ . : and -",
	`^[^\[\]]+$`:              "must not hold [ or ]",
	`^[^<>\\"']*$`:            `must not hold < > \ " or '`,
	`^[a-z]{3,8}$`:            "",
	`^(0|[1-9][0-9]{0,11})?$`: "must be a whole number of 0 or more with at most 12 digits",
	`^((0|[1-9][0-9]{0,11})([.][0-9]{1,12})?)?$`: "must be a number of 0 or more with at most 12 digits and 12 decimals",
	`^([1-9][0-9]{0,17})?$`:                      "must be a whole number of 1 or more with at most 18 digits, or empty on the last tier",
	`^[0-9]{1,9}([.][0-9]{1,2})?$`:               "must be a number of 0 or more with at most 9 digits and 2 decimals",
}

// describe returns what a field must be, with the limit. It is "" if catalog.Validate reports the violation.
func describe(v *protovalidate.Violation) string {
	message := phrase(v)
	if v.Proto.GetForKey() && message != "" {
		return "the key " + message
	}
	return message
}

func phrase(v *protovalidate.Violation) string {
	rule, field := v.RuleValue, v.FieldValue
	if rule.IsValid() && field.IsValid() {
		switch v.Proto.GetRuleId() {
		case "string.min_len":
			if rule.Uint() == 1 {
				return "must not be empty"
			}
		case "string.max_len":
			return fmt.Sprintf("must have at most %d characters, not %d", rule.Uint(),
				utf8.RuneCountInString(field.String()))
		case "repeated.max_items":
			return fmt.Sprintf("must have at most %d items, not %d", rule.Uint(), field.List().Len())
		case "map.max_pairs":
			return fmt.Sprintf("must have at most %d keys, not %d", rule.Uint(), field.Map().Len())
		case "string.in":
			var allowed []string
			for i := range rule.List().Len() {
				if s := rule.List().Get(i).String(); s != "" {
					allowed = append(allowed, s)
				}
			}
			return fmt.Sprintf("must be %s, not %q", strings.Join(allowed, " or "), abridged(field.String()))
		case "string.uri":
			return fmt.Sprintf("must be a URL, not %q", abridged(field.String()))
		case "string.pattern":
			if said, ok := patterns[rule.String()]; said != "" {
				return fmt.Sprintf("%s, not %q", said, abridged(field.String()))
			} else if ok {
				return ""
			}
		}
	}
	return strings.TrimPrefix(v.Proto.GetMessage(), "value ")
}

func abridged(s string) string { return catalog.AbridgedTo(s, 40) }

// isRepeated reports whether a violation only repeats the one before it. An empty text does not match its pattern
// either.
func isRepeated(before, v *protovalidate.Violation) bool {
	return before.Proto.GetRuleId() == "string.min_len" && v.Proto.GetRuleId() == "string.pattern" &&
		before.Proto.GetForKey() == v.Proto.GetForKey() && proto.Equal(before.Proto.GetField(), v.Proto.GetField())
}
