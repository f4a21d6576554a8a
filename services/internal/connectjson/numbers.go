package connectjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// decimalFields are the fields that the contracts have as decimal strings, so that no number loses a digit, and that
// Stripe or its users have as JSON numbers.
var decimalFields = map[protoreflect.FullName][]protoreflect.Name{
	"driftless.catalog.v1.Price":          {"unit_amount", "unit_amount_decimal"},
	"driftless.catalog.v1.CurrencyOption": {"unit_amount", "unit_amount_decimal"},
	"driftless.catalog.v1.PriceTier": {
		"up_to", "unit_amount", "unit_amount_decimal", "flat_amount", "flat_amount_decimal",
	},
	"driftless.catalog.v1.CustomUnitAmount":  {"minimum", "maximum", "preset"},
	"driftless.catalog.v1.PackageDimensions": {"height", "length", "weight", "width"},
}

// IsDecimal reports whether a text field of the contracts also takes a number.
func IsDecimal(field protoreflect.FieldDescriptor) bool {
	return slices.Contains(decimalFields[field.Parent().FullName()], field.Name())
}

// Infinity is Stripe's up_to of the last tier. The contracts leave the field out.
const Infinity = "inf"

// IsInfinity reports whether a text is Stripe's up_to of the last tier.
func IsInfinity(field protoreflect.FieldDescriptor, text string) bool {
	return text == Infinity && field.Name() == "up_to" && IsDecimal(field)
}

// maxDigits bounds the digits of a number, written out. The contracts allow at most 12 before the point and 12 after
// it, and 18 without one.
const maxDigits = 40

var number = regexp.MustCompile(`^(-?)(0|[1-9][0-9]*)(?:[.]([0-9]+))?(?:[eE]([+-]?[0-9]{1,4}))?$`)

var errNoDecimal = fmt.Errorf("must be a decimal number of at most %d digits", maxDigits)

// DecimalText returns a JSON number as the contracts write it: with all digits, without an exponent, and without zeros
// that end a fraction. It is exact. It fails if the number has more than 40 digits.
func DecimalText(literal string) (string, error) {
	if len(literal) > 2*maxDigits {
		return "", errNoDecimal
	}
	m := number.FindStringSubmatch(literal)
	if m == nil {
		return "", errNoDecimal
	}
	sign, whole, fraction, exponent := m[1], m[2], m[3], 0
	if m[4] != "" {
		exponent, _ = strconv.Atoi(m[4])
	}
	digits, point := whole+fraction, len(whole)+exponent
	if strings.Trim(digits, "0") == "" {
		return "0", nil
	}
	if point > maxDigits || point < -maxDigits {
		return "", errNoDecimal
	}
	if point > len(digits) {
		digits += strings.Repeat("0", point-len(digits))
	}
	if point < 1 {
		digits, point = strings.Repeat("0", 1-point)+digits, 1
	}
	whole, fraction = strings.TrimLeft(digits[:point], "0"), strings.TrimRight(digits[point:], "0")
	if whole == "" {
		whole = "0"
	}
	if len(whole)+len(fraction) > maxDigits {
		return "", errNoDecimal
	}
	if fraction != "" {
		fraction = "." + fraction
	}
	return sign + whole + fraction, nil
}

// rewrite replaces a piece of a JSON text.
type rewrite struct {
	start, end int
	with       string
}

// withTexts returns a JSON text in which the numbers of decimal fields are texts, and Stripe's "inf" is absent. It
// returns the replaced pieces in their order. A malformed text ends the search: the decoder refuses it.
func withTexts(data []byte, m protoreflect.MessageDescriptor) ([]byte, []rewrite, error) {
	s := &numberScanner{data: data, dec: json.NewDecoder(bytes.NewReader(data)), scalar: textOf}
	s.dec.UseNumber()
	var wrong *numberError
	if err := s.value("", m, nil); errors.As(err, &wrong) {
		return nil, nil, wrong
	}
	return s.rewritten(), s.found, nil
}

// numberError names a field whose number is not accepted.
type numberError struct {
	field string
	err   error
}

func (e *numberError) Error() string { return e.field + ": " + e.err.Error() }

// numberScanner finds the scalars of a JSON text that another form replaces.
type numberScanner struct {
	data []byte
	dec  *json.Decoder
	// scalar returns what replaces a scalar of a field.
	scalar func(protoreflect.FieldDescriptor, json.Token) (with string, replace bool, err error)
	found  []rewrite
	depth  int
}

// rewritten returns the text with everything replaced that was found.
func (s *numberScanner) rewritten() []byte {
	out, last := make([]byte, 0, len(s.data)+2*len(s.found)), 0
	for _, r := range s.found {
		out = append(append(out, s.data[last:r.start]...), r.with...)
		last = r.end
	}
	return append(out, s.data[last:]...)
}

// maxDepth is deeper than any message that has a decimal field.
const maxDepth = 100

var errTooDeep = errors.New("too deep")

// value reads a value. m is the message of an object, and field the field of a scalar; either is nil if it does not
// matter.
func (s *numberScanner) value(path string, m protoreflect.MessageDescriptor, f protoreflect.FieldDescriptor) error {
	token, err := s.dec.Token()
	if err != nil {
		return err
	}
	end := int(s.dec.InputOffset())
	switch v := token.(type) {
	case json.Delim:
		if s.depth++; s.depth > maxDepth {
			return errTooDeep
		}
		defer func() { s.depth-- }()
		if v == '[' {
			return s.list(path, m, f)
		}
		return s.object(path, m, f)
	case json.Number, string:
		if f != nil {
			return s.replace(path, f, token, end)
		}
	}
	return nil
}

// replace notes what replaces a scalar that ends at a position.
func (s *numberScanner) replace(path string, f protoreflect.FieldDescriptor, token json.Token, end int) error {
	with, replace, err := s.scalar(f, token)
	if err != nil {
		return &numberError{path, err}
	}
	literal := fmt.Sprint(token)
	if _, isText := token.(string); isText {
		literal = strconv.Quote(literal)
	}
	// A text with escapes is none of those that are replaced.
	if start := end - len(literal); replace && start >= 0 && string(s.data[start:end]) == literal {
		s.found = append(s.found, rewrite{start, end, with})
	}
	return nil
}

func (s *numberScanner) list(path string, m protoreflect.MessageDescriptor, f protoreflect.FieldDescriptor) error {
	for i := 0; s.dec.More(); i++ {
		if err := s.value(path+"["+strconv.Itoa(i)+"]", m, f); err != nil {
			return err
		}
	}
	_, err := s.dec.Token()
	return err
}

// object reads an object: a message, or a map if f is one.
func (s *numberScanner) object(path string, m protoreflect.MessageDescriptor, f protoreflect.FieldDescriptor) error {
	for s.dec.More() {
		token, err := s.dec.Token()
		if err != nil {
			return err
		}
		key, _ := token.(string)
		inner, innerMessage := protoreflect.FieldDescriptor(nil), protoreflect.MessageDescriptor(nil)
		switch {
		case f != nil && f.IsMap():
			inner, innerMessage = f.MapValue(), f.MapValue().Message()
		case m != nil:
			if inner = FieldByName(m, key); inner != nil && !inner.IsMap() {
				innerMessage = inner.Message()
			}
		}
		if path != "" {
			key = path + "." + key
		}
		if err := s.value(key, innerMessage, inner); err != nil {
			return err
		}
	}
	_, err := s.dec.Token()
	return err
}

// FieldByName returns the field of a message with this name, or with this name in the form of Protobuf's JSON. It
// returns nil if there is none.
func FieldByName(m protoreflect.MessageDescriptor, name string) protoreflect.FieldDescriptor {
	if f := m.Fields().ByName(protoreflect.Name(name)); f != nil {
		return f
	}
	return m.Fields().ByJSONName(name)
}

// messagesWithDecimals has for each message whether it or a message in it has a decimal field.
var messagesWithDecimals sync.Map

func hasDecimals(m protoreflect.MessageDescriptor) bool {
	if known, ok := messagesWithDecimals.Load(m.FullName()); ok {
		return known == true
	}
	has := findDecimals(m, map[protoreflect.FullName]bool{})
	messagesWithDecimals.Store(m.FullName(), has)
	return has
}

func findDecimals(m protoreflect.MessageDescriptor, seen map[protoreflect.FullName]bool) bool {
	if seen[m.FullName()] {
		return false
	}
	seen[m.FullName()] = true
	if len(decimalFields[m.FullName()]) > 0 {
		return true
	}
	for i := range m.Fields().Len() {
		if inner := m.Fields().Get(i).Message(); inner != nil && findDecimals(inner, seen) {
			return true
		}
	}
	return false
}

var position = regexp.MustCompile(`\(line ([0-9]+):([0-9]+)\)`)

// atOriginal returns an error about a rewritten text with the column in the original. The lines are the same.
func atOriginal(message string, data []byte, done []rewrite) string {
	at := position.FindStringSubmatchIndex(message)
	if at == nil {
		return message
	}
	line, _ := strconv.Atoi(message[at[2]:at[3]])
	column, _ := strconv.Atoi(message[at[4]:at[5]])
	shift := 0
	for _, r := range done {
		before := data[:r.start]
		if bytes.Count(before, []byte("\n"))+1 != line {
			continue
		}
		start := len([]rune(string(before[bytes.LastIndexByte(before, '\n')+1:]))) + 1
		if start+shift < column {
			shift += len(r.with) - (r.end - r.start)
		}
	}
	return message[:at[4]] + strconv.Itoa(column-shift) + message[at[5]:]
}
