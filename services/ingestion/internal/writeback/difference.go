package writeback

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// difference is a field whose value in a product is not the wanted one.
type difference struct {
	// price is the id of the price that has the field, "" for a field of the product itself.
	price string
	// column is the field without its key, "" for a whole price that one of the products does not have.
	column string
	// key is the key of metadata, or the currency of a currency option.
	key string
	// have and want are the values for messages.
	have, want string
}

// field returns the name of the field as write-back commands have it: prices.PRICE.COLUMN.KEY.
func (d difference) field() string {
	var parts []string
	if d.price != "" {
		parts = append(parts, "prices", d.price)
	}
	for _, s := range []string{d.column, d.key} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	return strings.Join(parts, ".")
}

func (d difference) String() string {
	return fmt.Sprintf("%s is %s instead of %s", d.field(), d.have, d.want)
}

// differences returns the fields in which two products differ. Two forms of one value, such as 1.50 and 1.5, are equal.
func differences(have, want *catalogv1.Product) []difference {
	have, want = catalog.Canonical(have), catalog.Canonical(want)
	out := messageDifferences(have.ProtoReflect(), want.ProtoReflect(), "prices")
	unwanted := map[string]*catalogv1.Price{}
	for _, p := range have.GetPrices() {
		unwanted[p.GetId()] = p
	}
	for _, w := range want.GetPrices() {
		h, ok := unwanted[w.GetId()]
		delete(unwanted, w.GetId())
		if !ok {
			out = append(out, difference{price: w.GetId(), have: "absent", want: "present"})
			continue
		}
		for _, d := range messageDifferences(h.ProtoReflect(), w.ProtoReflect()) {
			d.price = w.GetId()
			out = append(out, d)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(unwanted)) {
		out = append(out, difference{price: id, have: "present", want: "absent"})
	}
	return out
}

func messageDifferences(have, want protoreflect.Message, except ...protoreflect.Name) []difference {
	var out []difference
	fields := want.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		h, w := have.Get(field), want.Get(field)
		switch {
		case slices.Contains(except, field.Name()):
		case field.IsMap():
			out = append(out, mapDifferences(field, h.Map(), w.Map())...)
		case have.Has(field) != want.Has(field) || !h.Equal(w):
			out = append(out, difference{
				column: string(field.Name()),
				have:   formatValue(have, field),
				want:   formatValue(want, field),
			})
		}
	}
	return out
}

func mapDifferences(field protoreflect.FieldDescriptor, have, want protoreflect.Map) []difference {
	keys := map[string]bool{}
	for _, m := range []protoreflect.Map{have, want} {
		m.Range(func(k protoreflect.MapKey, _ protoreflect.Value) bool {
			keys[k.String()] = true
			return true
		})
	}
	var out []difference
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		k := protoreflect.ValueOfString(key).MapKey()
		if have.Has(k) && want.Has(k) && have.Get(k).Equal(want.Get(k)) {
			continue
		}
		out = append(out, difference{
			column: string(field.Name()),
			key:    key,
			have:   formatEntry(have, k),
			want:   formatEntry(want, k),
		})
	}
	return out
}

func formatEntry(m protoreflect.Map, k protoreflect.MapKey) string {
	if !m.Has(k) {
		return "absent"
	}
	return formatItem(m.Get(k))
}

// formatValue returns a field's value for messages.
func formatValue(m protoreflect.Message, field protoreflect.FieldDescriptor) string {
	switch {
	case !m.Has(field):
		return "absent"
	case field.IsList():
		list := m.Get(field).List()
		items := make([]string, list.Len())
		for i := range items {
			items[i] = formatItem(list.Get(i))
		}
		return "[" + strings.Join(items, ", ") + "]"
	default:
		return formatItem(m.Get(field))
	}
}

func formatItem(v protoreflect.Value) string {
	switch v := v.Interface().(type) {
	case protoreflect.Message:
		return formatMessage(v.Interface())
	case string:
		return fmt.Sprintf("%q", abridge(v))
	default:
		return fmt.Sprint(v)
	}
}

func formatMessage(m proto.Message) string {
	data, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	if err != nil {
		return err.Error()
	}
	// protojson varies its white space on purpose, so that nobody depends on it.
	var compact bytes.Buffer
	if json.Compact(&compact, data) != nil {
		return abridge(string(data))
	}
	return abridge(compact.String())
}

func abridge(s string) string {
	const maxCharacters = 80
	if r := []rune(s); len(r) > maxCharacters {
		return string(r[:maxCharacters]) + "..."
	}
	return s
}
