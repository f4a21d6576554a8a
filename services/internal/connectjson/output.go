package connectjson

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Output encodes a message for programs that read it without the contracts, on one line. It has the names of the
// contracts, as the APIs do. It differs from the APIs' JSON in that every field is there, a list is never absent, and
// IsNumber and IsWhole are numbers. Protobuf's own JSON reader also reads it, except for money.
func Output(m proto.Message) ([]byte, error) {
	data, err := protojson.MarshalOptions{UseProtoNames: true, EmitUnpopulated: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", m.ProtoReflect().Descriptor().Name(), err)
	}
	s := &numberScanner{data: data, dec: json.NewDecoder(bytes.NewReader(data)), scalar: numberOf}
	s.dec.UseNumber()
	if err := s.value("", m.ProtoReflect().Descriptor(), nil); err != nil {
		return nil, fmt.Errorf("encode %s: %w", m.ProtoReflect().Descriptor().Name(), err)
	}
	// protojson varies its white space.
	var compact bytes.Buffer
	if err := json.Compact(&compact, s.rewritten()); err != nil {
		return nil, fmt.Errorf("encode %s: %w", m.ProtoReflect().Descriptor().Name(), err)
	}
	return compact.Bytes(), nil
}

// IsNumber reports whether Output writes a field of 64 bits as a number: a count, a version or a time. All of them stay
// below 2^53, which every reader of JSON keeps exactly: a version is a position in the write-ahead log, of at most 8
// PiB. A hash has all its bits, and stays a text.
func IsNumber(field protoreflect.FieldDescriptor) bool {
	switch field.Kind() {
	case protoreflect.Int64Kind, protoreflect.Uint64Kind, protoreflect.Sint64Kind:
		return true
	default:
		return false
	}
}

// wholeFields are the decimal fields with whole numbers: amounts in minor units, and quantities.
var wholeFields = []protoreflect.Name{"unit_amount", "flat_amount", "minimum", "maximum", "preset", "up_to"}

// IsWhole reports whether Output writes a decimal field as a number, and as null if it is empty. A value that is no
// whole number of at most 15 digits stays as it is: the catalog may have values that Stripe refuses.
func IsWhole(field protoreflect.FieldDescriptor) bool {
	return IsDecimal(field) && slices.Contains(wholeFields, field.Name())
}

// whole matches a number that every reader of JSON keeps exactly.
var whole = regexp.MustCompile(`^-?(0|[1-9][0-9]{0,14})$`)

// numberOf returns the number that Output writes instead of a text.
func numberOf(f protoreflect.FieldDescriptor, token json.Token) (with string, replace bool, err error) {
	text, ok := token.(string)
	switch {
	case !ok:
		return "", false, nil
	case IsNumber(f):
		return text, true, nil
	case IsWhole(f) && text == "":
		return "null", true, nil
	case IsWhole(f) && whole.MatchString(text):
		return text, true, nil
	default:
		return "", false, nil
	}
}

// textOf returns the text that the contracts have instead of a number or of Stripe's "inf".
func textOf(f protoreflect.FieldDescriptor, token json.Token) (with string, replace bool, err error) {
	switch v := token.(type) {
	case json.Number:
		if !IsDecimal(f) {
			return "", false, nil
		}
		text, err := DecimalText(v.String())
		return strconv.Quote(text), true, err
	case string:
		return `""`, IsInfinity(f, v), nil
	default:
		return "", false, nil
	}
}
