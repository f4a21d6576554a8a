package stripesim

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// field is a node of a parsed form. `recurring[interval]=month` is a field "recurring" that contains a field
// "interval". A node has a value or fields. In a malformed request it has both.
type field struct {
	// name is the whole path: "recurring[interval]". Elements of a list have their index: "expand[0]" for `expand[]`.
	name string
	// value is the node's own value, if hasValue.
	value    string
	hasValue bool
	// keys are those of sub, in the order of the request.
	keys []string
	sub  map[string]*field
}

// pair is one parameter as it was sent.
type pair struct{ name, value string }

// maxFormDepth is the maximum depth of brackets in a form.
const maxFormDepth = 8

// parseForm parses a form from a body or a query.
func parseForm(encoded string) (*field, []pair, *refusal) {
	root := &field{}
	var pairs []pair
	for part := range strings.SplitSeq(encoded, "&") {
		if part == "" {
			continue
		}
		k, v, _ := strings.Cut(part, "=")
		name, err1 := url.QueryUnescape(k)
		value, err2 := url.QueryUnescape(v)
		if err1 != nil || err2 != nil {
			return nil, nil, invalid("", "", "Invalid request: the parameter %s is not encoded as a form.", k)
		}
		pairs = append(pairs, pair{name, value})
		if r := root.add(name, value); r != nil {
			return nil, nil, r
		}
	}
	return root, pairs, nil
}

func (f *field) add(name, value string) *refusal {
	base, rest, nested := strings.Cut(name, "[")
	segments := []string{base}
	if nested {
		inner, ok := strings.CutSuffix(rest, "]")
		if !ok {
			return invalid("", name, "Invalid parameter name: %s", name)
		}
		segments = append(segments, strings.Split(inner, "][")...)
	}
	if len(segments) > maxFormDepth {
		return invalid("", base, "Invalid parameter name: %s is nested too deeply", name)
	}
	node := f
	for i, key := range segments {
		if key == "" && i > 0 {
			key = node.elementKey(segments[i+1:])
		}
		node = node.child(key)
	}
	node.value, node.hasValue = value, true
	return nil
}

// elementKey returns the key for `[]` in a list. rest is the path below it. The key is a new one, unless the last
// element lacks that path: `a[][x]=1&a[][y]=2` is one element.
func (f *field) elementKey(rest []string) string {
	if len(rest) > 0 && len(f.keys) > 0 {
		last := f.keys[len(f.keys)-1]
		if _, isSet := f.sub[last].sub[rest[0]]; !isSet {
			return last
		}
	}
	return strconv.Itoa(len(f.keys))
}

func (f *field) child(key string) *field {
	if c, ok := f.sub[key]; ok {
		return c
	}
	name := key
	if f.name != "" {
		name = f.name + "[" + key + "]"
	}
	c := &field{name: name}
	if f.sub == nil {
		f.sub = map[string]*field{}
	}
	f.sub[key] = c
	f.keys = append(f.keys, key)
	return c
}

// get returns a field, or nil.
func (f *field) get(name string) *field {
	if f == nil {
		return nil
	}
	return f.sub[name]
}

// items returns the elements of a list in the order of their indexes.
func (f *field) items() []*field {
	if f == nil {
		return nil
	}
	keys := slices.Clone(f.keys)
	slices.SortStableFunc(keys, func(a, b string) int {
		i, _ := strconv.Atoi(a)
		j, _ := strconv.Atoi(b)
		return i - j
	})
	out := make([]*field, len(keys))
	for i, k := range keys {
		out[i] = f.sub[k]
	}
	return out
}

// The following methods assume that the form has been checked against the shapes of the operation's parameters.

// cleared reports whether the field was sent empty, which clears it in Stripe.
func (f *field) cleared() bool { return f != nil && f.hasValue && f.value == "" }

// text returns the value of a field, empty if it was not sent.
func (f *field) text(name string) string {
	if c := f.get(name); c != nil {
		return c.value
	}
	return ""
}

// optional returns the value of a field, nil if it was not sent or sent empty.
func (f *field) optional(name string) *string {
	if s := f.text(name); s != "" {
		return &s
	}
	return nil
}

// flag returns the value of a field that is true or false. sent reports whether it was sent.
func (f *field) flag(name string) (value, sent bool) {
	c := f.get(name)
	return c != nil && c.value == "true", c != nil
}

// integer returns the value of a field that is a whole number. sent reports whether it was sent.
func (f *field) integer(name string) (value int64, sent bool) {
	c := f.get(name)
	if c == nil {
		return 0, false
	}
	n, err := strconv.ParseInt(c.value, 10, 64)
	return n, err == nil
}
