package productfile

import (
	"fmt"
	"slices"
	"strconv"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/driftless-sync/driftless/services/internal/connectjson"
)

// kind is the kind of a value in a file.
type kind string

const (
	null    kind = "null"
	boolean kind = "true or false"
	number  kind = "a number"
	text    kind = "a text"
	list    kind = "a list"
	object  kind = "an object"
)

// node is a value in a file of any format. A number is its literal, so that it stays exact.
type node struct {
	kind kind
	text string
	line int
	// keys are the keys of an object. Its values, and the items of a list, are items.
	keys  []string
	items []*node
}

// get returns the value of a key, or nil.
func (n *node) get(key string) *node {
	if i := slices.Index(n.keys, key); i >= 0 {
		return n.items[i]
	}
	return nil
}

// add adds a key to an object. It reports whether the object does not have it yet.
func (n *node) add(key string, value *node) bool {
	if slices.Contains(n.keys, key) {
		return false
	}
	n.keys, n.items = append(n.keys, key), append(n.items, value)
	return true
}

// fill sets the fields of a message to the values of an object.
func fill(m protoreflect.Message, n *node, path string) error {
	if n.kind != object {
		return faultf(n.line, path, "must be an object, not %s", n.kind)
	}
	for i, key := range n.keys {
		value, at := n.items[i], join(path, key)
		field := connectjson.FieldByName(m.Descriptor(), key)
		switch {
		case field == nil:
			return faultf(value.line, at, "is not a field of %s: a field has Stripe's name", nameOf(m.Descriptor()))
		case value.kind == null:
			continue
		case m.Has(field):
			return faultf(value.line, at, "is given twice")
		}
		if err := fillField(m, field, value, at); err != nil {
			return err
		}
	}
	return nil
}

func fillField(m protoreflect.Message, field protoreflect.FieldDescriptor, n *node, path string) error {
	switch {
	case field.IsMap():
		return fillMap(m.Mutable(field).Map(), field, n, path)
	case field.IsList():
		return fillList(m.Mutable(field).List(), field, n, path)
	case field.Message() != nil:
		return fill(m.Mutable(field).Message(), n, path)
	case n.kind == text && connectjson.IsInfinity(field, n.text):
		return nil
	}
	value, err := scalar(field, n, path)
	if err != nil {
		return err
	}
	m.Set(field, value)
	return nil
}

func fillMap(into protoreflect.Map, field protoreflect.FieldDescriptor, n *node, path string) error {
	if n.kind != object {
		return faultf(n.line, path, "must be an object, not %s", n.kind)
	}
	for i, key := range n.keys {
		value, at := into.NewValue(), join(path, key)
		var err error
		if field.MapValue().Message() != nil {
			err = fill(value.Message(), n.items[i], at)
		} else {
			value, err = scalar(field.MapValue(), n.items[i], at)
		}
		if err != nil {
			return err
		}
		into.Set(protoreflect.ValueOfString(key).MapKey(), value)
	}
	return nil
}

func fillList(into protoreflect.List, field protoreflect.FieldDescriptor, n *node, path string) error {
	if n.kind != list {
		return faultf(n.line, path, "must be a list, not %s", n.kind)
	}
	for i, item := range n.items {
		value, at := into.NewElement(), fmt.Sprintf("%s[%d]", path, i)
		var err error
		if field.Message() != nil {
			err = fill(value.Message(), item, at)
		} else {
			value, err = scalar(field, item, at)
		}
		if err != nil {
			return err
		}
		into.Append(value)
	}
	return nil
}

// scalar returns the value of a field without fields of its own.
func scalar(field protoreflect.FieldDescriptor, n *node, path string) (v protoreflect.Value, err error) {
	switch k := field.Kind(); {
	case k == protoreflect.BoolKind && n.kind == boolean:
		return protoreflect.ValueOfBool(n.text == "true"), nil
	case k == protoreflect.BoolKind:
		return v, faultf(n.line, path, "must be true or false, not %s", n.kind)
	case k == protoreflect.Uint32Kind, k == protoreflect.Uint64Kind:
		return whole(k, n, path)
	case n.kind == text:
		return protoreflect.ValueOfString(n.text), nil
	case n.kind == number && connectjson.IsDecimal(field):
		exact, err := connectjson.DecimalText(n.text)
		if err != nil {
			return v, faultf(n.line, path, "%s", err)
		}
		return protoreflect.ValueOfString(exact), nil
	case n.kind == number, n.kind == boolean:
		return v, faultf(n.line, path, "must be a text, not %s: put it in quotes", n.kind)
	default:
		return v, faultf(n.line, path, "must be a text, not %s", n.kind)
	}
}

func whole(k protoreflect.Kind, n *node, path string) (v protoreflect.Value, err error) {
	if n.kind != number && n.kind != text {
		return v, faultf(n.line, path, "must be a whole number, not %s", n.kind)
	}
	bits := 64
	if k == protoreflect.Uint32Kind {
		bits = 32
	}
	exact, err := connectjson.DecimalText(n.text)
	if err != nil {
		exact = n.text
	}
	u, err := strconv.ParseUint(exact, 10, bits)
	if err != nil {
		return v, faultf(n.line, path, "must be a whole number of at least 0 and at most %d bits", bits)
	}
	if bits == 32 {
		return protoreflect.ValueOfUint32(uint32(u)), nil
	}
	return protoreflect.ValueOfUint64(u), nil
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// nameOf returns the name of a message in Stripe's words.
func nameOf(m protoreflect.MessageDescriptor) string {
	switch m.Name() {
	case "Product":
		return "a product"
	case "Price":
		return "a price"
	default:
		return "this object"
	}
}
