// Package request checks requests of the control API before they have any effect. It checks the annotations of the
// contract, and refuses texts that neither the ledger nor a subject can hold. It reads the annotations itself: the
// library that evaluates them would be the largest part of the program.
package request

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
)

// Fault is the reason why a field of a request is refused.
type Fault struct {
	// Field is its path in the request, such as adoptions[3].stripe_id.
	Field string
	// Message says what the field must be.
	Message string
}

func (f Fault) String() string { return f.Field + ": " + f.Message }

const (
	// maxFaults is how many faults Check returns.
	maxFaults = 100
	// maxText bounds texts without a limit of their own, in bytes.
	maxText = 4096
)

// Check returns the faults of a request in the order of its fields, at most 100.
func Check(m proto.Message) []Fault {
	c := &checker{}
	c.message("", m.ProtoReflect())
	return c.faults
}

type checker struct{ faults []Fault }

func (c *checker) full() bool { return len(c.faults) >= maxFaults }

func (c *checker) addf(path, format string, args ...any) {
	if !c.full() {
		c.faults = append(c.faults, Fault{path, fmt.Sprintf(format, args...)})
	}
}

func (c *checker) message(path string, m protoreflect.Message) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		name := string(field.Name())
		if path != "" {
			name = path + "." + name
		}
		rules, _ := proto.GetExtension(field.Options(), validate.E_Field).(*validate.FieldRules)
		c.field(name, field, m, rules)
	}
}

func (c *checker) field(
	path string, field protoreflect.FieldDescriptor, m protoreflect.Message, rules *validate.FieldRules,
) {
	if rules.GetIgnore() == validate.Ignore_IGNORE_ALWAYS {
		return
	}
	if rules.GetRequired() && !m.Has(field) {
		c.addf(path, "must be given")
		return
	}
	if field.HasPresence() && !m.Has(field) {
		return
	}
	v := m.Get(field)
	switch {
	case field.IsMap():
		c.pairs(path, field, v.Map(), rules.GetMap())
	case field.IsList():
		c.list(path, field, v.List(), rules.GetRepeated())
	default:
		c.value(path, field, v, rules)
	}
}

func (c *checker) list(
	path string, field protoreflect.FieldDescriptor, list protoreflect.List, rules *validate.RepeatedRules,
) {
	n := list.Len()
	switch {
	case rules.HasMaxItems() && uint64(n) > rules.GetMaxItems():
		c.addf(path, "must be at most %d, not %d", rules.GetMaxItems(), n)
		return
	case uint64(n) < rules.GetMinItems():
		c.addf(path, "must be at least %d, not %d", rules.GetMinItems(), n)
	}
	for i := 0; i < n && !c.full(); i++ {
		c.value(fmt.Sprintf("%s[%d]", path, i), field, list.Get(i), rules.GetItems())
	}
}

func (c *checker) pairs(path string, field protoreflect.FieldDescriptor, m protoreflect.Map, rules *validate.MapRules) {
	if rules.HasMaxPairs() && uint64(m.Len()) > rules.GetMaxPairs() {
		c.addf(path, "must be at most %d, not %d", rules.GetMaxPairs(), m.Len())
		return
	}
	keys := make([]protoreflect.MapKey, 0, m.Len())
	m.Range(func(k protoreflect.MapKey, _ protoreflect.Value) bool {
		keys = append(keys, k)
		return true
	})
	slices.SortFunc(keys, func(a, b protoreflect.MapKey) int { return strings.Compare(a.String(), b.String()) })
	for _, k := range keys {
		if c.full() {
			return
		}
		at := fmt.Sprintf("%s[%q]", path, truncate(k.String()))
		c.value(at+" (key)", field.MapKey(), k.Value(), rules.GetKeys())
		c.value(at, field.MapValue(), m.Get(k), rules.GetValues())
	}
}

func (c *checker) value(
	path string, field protoreflect.FieldDescriptor, v protoreflect.Value, rules *validate.FieldRules,
) {
	switch field.Kind() {
	case protoreflect.StringKind:
		c.text(path, v.String(), rules.GetString())
	case protoreflect.Uint32Kind:
		if r := rules.GetUint32(); r.HasLte() && v.Uint() > uint64(r.GetLte()) {
			c.addf(path, "must be at most %d, not %d", r.GetLte(), v.Uint())
		}
	case protoreflect.EnumKind:
		if in := rules.GetEnum().GetIn(); len(in) > 0 && !slices.Contains(in, int32(v.Enum())) {
			c.addf(path, "must be %s", enumNames(field.Enum(), in))
		}
	case protoreflect.MessageKind:
		if d, ok := v.Message().Interface().(*durationpb.Duration); ok {
			c.duration(path, d, rules.GetDuration())
			return
		}
		c.message(path, v.Message())
	default:
	}
}

// text checks a text. It reports the first fault only: a text that is not UTF-8 has no length in characters.
func (c *checker) text(path, text string, rules *validate.StringRules) {
	maxBytes := uint64(maxText)
	if rules.HasMaxBytes() {
		maxBytes = rules.GetMaxBytes()
	}
	switch n := utf8.RuneCountInString(text); {
	case !utf8.ValidString(text):
		c.addf(path, "must be UTF-8")
	case strings.IndexByte(text, 0) >= 0:
		c.addf(path, "must not hold the character U+0000, which is at byte %d", strings.IndexByte(text, 0))
	case text == "" && rules.GetMinLen() > 0:
		c.addf(path, "must not be empty")
	case rules.HasMaxLen() && uint64(n) > rules.GetMaxLen():
		c.addf(path, "must have at most %d characters, not %d", rules.GetMaxLen(), n)
	case uint64(len(text)) > maxBytes:
		c.addf(path, "must have at most %d bytes, not %d", maxBytes, len(text))
	case slices.Contains(rules.GetNotIn(), text):
		c.addf(path, "must be an id: %q is not one", text)
	case rules.HasPattern() && !regexp.MustCompile(rules.GetPattern()).MatchString(text):
		c.addf(path, "must match %s", rules.GetPattern())
	}
}

func (c *checker) duration(path string, d *durationpb.Duration, rules *validate.DurationRules) {
	if d.CheckValid() != nil {
		c.addf(path, "must be a duration of less than 10,000 years, with the same sign in seconds and nanoseconds")
		return
	}
	// The contract has no lower limits other than 0.
	switch given := d.AsDuration(); {
	case rules.HasGt() && given <= 0:
		c.addf(path, "must be more than 0")
	case rules.HasGte() && given < 0:
		c.addf(path, "must be at least 0")
	}
	// AsDuration saturates at 292 years, which is beyond every limit.
	if longest := rules.GetLte().AsDuration(); rules.HasLte() && d.AsDuration() > longest {
		c.addf(path, "must be at most %s", formatDuration(longest))
	}
}

// formatDuration writes a duration in days if it is a whole number of them.
func formatDuration(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d == day:
		return "a day"
	case d > day && d%day == 0:
		return fmt.Sprintf("%d days", d/day)
	default:
		return d.String()
	}
}

func enumNames(enum protoreflect.EnumDescriptor, numbers []int32) string {
	names := make([]string, len(numbers))
	for i, n := range numbers {
		names[i] = strconv.Itoa(int(n))
		if value := enum.Values().ByNumber(protoreflect.EnumNumber(n)); value != nil {
			names[i] = string(value.Name())
		}
	}
	return strings.Join(names, " or ")
}

// truncate shortens a text for a message.
func truncate(s string) string {
	const maxRunes = 40
	if runes := []rune(s); len(runes) > maxRunes {
		return string(runes[:maxRunes]) + "…"
	}
	return s
}
