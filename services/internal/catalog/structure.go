package catalog

import (
	"slices"
	"strconv"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// PartType is the type of a part of a structure.
type PartType int

// The types of parts.
const (
	// PartText is a string.
	PartText PartType = iota + 1
	// PartDecimal is a decimal number, which the contract holds as text.
	PartDecimal
	// PartWhole is a whole number that is not negative.
	PartWhole
)

// Part is one part of a structure. Its name is Stripe's, and that of the contract.
type Part struct {
	Name string
	Type PartType
	// Optional means that a structure without the part is written without it. Other parts are always written.
	Optional bool
	// Lenient means that a side without the part says nothing about it. The two sides then do not differ in it. A
	// number that is given as 0 is a value.
	Lenient bool
	// Within are the parts that must be equal for a lenient part of one side to be taken for the other.
	Within []string
	// Default is written as no value, since Stripe takes that for it.
	Default string
}

// structures are the structures whose parts are texts and numbers, by the field that contains them. Everything that
// reads or writes them uses this table: Stripe's parameters and answers, JSON in the operator's columns, and the
// built-in tables. Tiers, currency options and custom amounts have rules of their own.
var structures = map[string][]Part{
	"package_dimensions": {
		{Name: "height", Type: PartDecimal},
		{Name: "length", Type: PartDecimal},
		{Name: "weight", Type: PartDecimal},
		{Name: "width", Type: PartDecimal},
	},
	// https://docs.stripe.com/api/prices/object?api-version=2023-10-16#price_object-recurring
	"recurring": {
		{Name: "interval", Type: PartText},
		{Name: "interval_count", Type: PartWhole},
		{Name: "usage_type", Type: PartText},
		{Name: "meter", Type: PartText, Optional: true},
		{
			Name:     "aggregate_usage",
			Type:     PartText,
			Optional: true,
			Lenient:  true,
			Default:  "sum",
			Within:   []string{"usage_type", "meter"},
		},
		{Name: "trial_period_days", Type: PartWhole, Optional: true, Lenient: true, Default: "0"},
	},
	"transform_quantity": {
		{Name: "divide_by", Type: PartWhole},
		{Name: "round", Type: PartText},
	},
}

// Parts returns the parts of the structure in a field, in the order in which they are written. It returns nil if the
// field contains none, or one with rules of its own. The caller must not change them.
func Parts(field string) []Part { return structures[field] }

// Text returns a part of a structure as text, or "" if the part is not given. A whole number of 0 counts as not given.
func (p Part) Text(structure proto.Message) string {
	m := structure.ProtoReflect()
	field := m.Descriptor().Fields().ByName(protoreflect.Name(p.Name))
	if !m.Has(field) {
		return ""
	}
	if p.Type == PartWhole {
		return strconv.FormatUint(m.Get(field).Uint(), 10)
	}
	return m.Get(field).String()
}

// Limit returns the largest number that a whole part can hold.
func (p Part) Limit(structure proto.Message) uint64 {
	field := structure.ProtoReflect().Descriptor().Fields().ByName(protoreflect.Name(p.Name))
	if field.Kind() == protoreflect.Uint32Kind {
		return 1<<32 - 1
	}
	return 1<<64 - 1
}

// SetText sets a text or decimal part of a structure.
func (p Part) SetText(structure proto.Message, text string) {
	m := structure.ProtoReflect()
	m.Set(m.Descriptor().Fields().ByName(protoreflect.Name(p.Name)), protoreflect.ValueOfString(text))
}

// SetWhole sets a whole number of a structure. n must be at most Limit.
func (p Part) SetWhole(structure proto.Message, n uint64) {
	m := structure.ProtoReflect()
	field := m.Descriptor().Fields().ByName(protoreflect.Name(p.Name))
	if field.Kind() == protoreflect.Uint32Kind {
		m.Set(field, protoreflect.ValueOfUint32(uint32(n)))
		return
	}
	m.Set(field, protoreflect.ValueOfUint64(n))
}

// structureSettings returns the settings that would give the structure to an object.
func structureSettings(field string, structure proto.Message) []setting {
	parts := structures[field]
	out := make([]setting, 0, len(parts))
	for _, part := range parts {
		text := part.Text(structure)
		if part.Optional && (text == "" || text == part.Default) {
			continue
		}
		if text == "" && part.Type == PartWhole {
			text = "0"
		}
		out = append(out, newSetting(text, field, part.Name))
	}
	return out
}

// fillLenient gives two structures of one field the lenient parts that only the other one has: nothing is known about
// them on the other side. So a catalog that is silent about a part leaves Stripe's value, also for a price that
// replaces another one. And a state that was observed before a part was known does not make prices differ.
func fillLenient(field string, a, b proto.Message) {
	for _, part := range structures[field] {
		x, y := a.ProtoReflect(), b.ProtoReflect()
		differs := func(name string) bool {
			within := x.Descriptor().Fields().ByName(protoreflect.Name(name))
			return !x.Get(within).Equal(y.Get(within))
		}
		if !part.Lenient || slices.ContainsFunc(part.Within, differs) {
			continue
		}
		fd := x.Descriptor().Fields().ByName(protoreflect.Name(part.Name))
		switch {
		case x.Has(fd) && !y.Has(fd):
			y.Set(fd, x.Get(fd))
		case y.Has(fd) && !x.Has(fd):
			x.Set(fd, y.Get(fd))
		}
	}
}
