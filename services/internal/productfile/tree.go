package productfile

import (
	"regexp"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/driftless-sync/driftless/services/internal/connectjson"
)

// tree returns a message as a value of a file. It has the fields that are set.
func tree(m protoreflect.Message) *node {
	n := &node{kind: object}
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		if f := fields.Get(i); m.Has(f) {
			n.add(string(f.Name()), treeOf(f, m.Get(f)))
		}
	}
	return n
}

func treeOf(f protoreflect.FieldDescriptor, v protoreflect.Value) *node {
	switch {
	case f.IsMap():
		return treeOfMap(f, v.Map())
	case f.IsList():
		n := &node{kind: list}
		for i := range v.List().Len() {
			n.items = append(n.items, leaf(f, v.List().Get(i)))
		}
		return n
	default:
		return leaf(f, v)
	}
}

func treeOfMap(f protoreflect.FieldDescriptor, m protoreflect.Map) *node {
	var keys []string
	m.Range(func(key protoreflect.MapKey, _ protoreflect.Value) bool {
		keys = append(keys, key.String())
		return true
	})
	slices.Sort(keys)
	n := &node{kind: object}
	for _, key := range keys {
		n.add(key, leaf(f.MapValue(), m.Get(protoreflect.ValueOfString(key).MapKey())))
	}
	return n
}

// plainNumber has at most 15 digits, so that no program that reads numbers as floating-point numbers changes it.
var plainNumber = regexp.MustCompile(`^(0|[1-9][0-9]{0,14})$`)

func leaf(f protoreflect.FieldDescriptor, v protoreflect.Value) *node {
	switch k := f.Kind(); {
	case f.Message() != nil:
		return tree(v.Message())
	case k == protoreflect.BoolKind:
		return &node{kind: boolean, text: v.String()}
	case k == protoreflect.Uint32Kind, k == protoreflect.Uint64Kind:
		return &node{kind: number, text: v.String()}
	case isWholeNumber(f) && plainNumber.MatchString(v.String()):
		return &node{kind: number, text: v.String()}
	default:
		return &node{kind: text, text: v.String()}
	}
}

// isWholeNumber reports whether Stripe has a decimal field as a whole number.
func isWholeNumber(f protoreflect.FieldDescriptor) bool {
	return connectjson.IsDecimal(f) && f.Parent().Name() != "PackageDimensions" &&
		!strings.HasSuffix(string(f.Name()), "_decimal")
}
