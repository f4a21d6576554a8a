package stripesim

import (
	"slices"
	"strings"
)

// expansion is a tree of the field names that a request wants in full. A nil expansion wants nothing.
type expansion struct{ subs map[string]*expansion }

func (e *expansion) sub(name string) *expansion {
	if e == nil {
		return nil
	}
	return e.subs[name]
}

// expandable are the fields of each kind of object that can be expanded, with the kind of object that they refer to.
var expandable = map[string]map[string]string{
	"product":          {"default_price": "price", "tax_code": ""},
	"price":            {"product": "product", "tiers": "", "currency_options": ""},
	"subscription":     {},
	"payment_link":     {"line_items": ""},
	"event":            {},
	"webhook_endpoint": {},
	"account":          {},
}

// maxExpansionDepth is the maximum depth to which Stripe expands.
const maxExpansionDepth = 4

func readExpansion(f *field, object string, isList bool) (*expansion, *refusal) {
	if f == nil {
		return nil, nil
	}
	root := &expansion{}
	for _, item := range f.items() {
		words := strings.Split(item.value, ".")
		if len(words) > maxExpansionDepth {
			return nil, invalid("", item.name, "You cannot expand more than 4 levels of a property.")
		}
		at, of := root, object
		for i, word := range words {
			next, ok := expandable[of][word]
			if isList && i == 0 {
				next, ok = object, word == "data"
			}
			if !ok {
				return nil, invalid("", item.name,
					"This property cannot be expanded (%s). You may want to try expanding one of %s.",
					item.value, strings.Join(suggestions(object, isList), ", "))
			}
			if at.subs == nil {
				at.subs = map[string]*expansion{}
			}
			if at.subs[word] == nil {
				at.subs[word] = &expansion{}
			}
			at, of = at.subs[word], next
		}
	}
	return root, nil
}

func suggestions(object string, isList bool) []string {
	var out []string
	for name := range expandable[object] {
		if isList {
			name = "data." + name
		}
		out = append(out, "'"+name+"'")
	}
	slices.Sort(out)
	return out
}
