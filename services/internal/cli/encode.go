package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/driftless-sync/driftless/services/internal/connectjson"
)

// printJSON writes an answer as JSON. It is a message of the contracts, or a value with JSON tags.
func printJSON(answer any) error {
	data, err := encodeJSON(answer)
	if err != nil {
		return err
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, data, "", "  "); err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	pretty.WriteByte('\n')
	_, err = jsonOut.Write(pretty.Bytes())
	return wrapWrite(err)
}

// printJSONLine writes an answer as one line of JSON.
func printJSONLine(answer any) error {
	data, err := encodeJSON(answer)
	if err != nil {
		return err
	}
	_, err = jsonOut.Write(append(data, '\n'))
	return wrapWrite(err)
}

// encodeJSON is the only encoder of the command line. docs/output.md has its rules.
func encodeJSON(answer any) ([]byte, error) {
	if m, ok := answer.(proto.Message); ok {
		return connectjson.Output(m)
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(normal(reflect.ValueOf(answer)).Interface()); err != nil {
		return nil, fmt.Errorf("encode the answer: %w", err)
	}
	return bytes.TrimSpace(out.Bytes()), nil
}

// message is a message of the contracts as a part of another answer.
type message struct{ proto.Message }

// MarshalJSON encodes the message as printJSON does.
func (m message) MarshalJSON() ([]byte, error) { return connectjson.Output(m.Message) }

var (
	messageType = reflect.TypeFor[message]()
	rawType     = reflect.TypeFor[json.RawMessage]()
)

// normal returns a copy of a value in which lists and maps are empty instead of absent, and times are in UTC.
func normal(v reflect.Value) reflect.Value {
	if at, ok := reflect.TypeAssert[time.Time](v); ok && v.Kind() == reflect.Struct {
		return reflect.ValueOf(at.UTC())
	}
	if v.Type() == messageType || v.Type() == rawType {
		return v
	}
	out := reflect.New(v.Type()).Elem()
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		return normalPointer(v)
	case reflect.Struct:
		out.Set(v)
		normalizeFields(out)
	case reflect.Slice:
		out.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
		for i := range v.Len() {
			out.Index(i).Set(normal(v.Index(i)))
		}
	case reflect.Map:
		out.Set(reflect.MakeMap(v.Type()))
		for key, item := range v.Seq2() {
			out.SetMapIndex(key, normal(item))
		}
	default:
		return v
	}
	return out
}

// normalizeFields makes the fields of a structure normal, also those that it has from an embedded one.
func normalizeFields(v reflect.Value) {
	for i := range v.NumField() {
		switch field := v.Type().Field(i); {
		case field.IsExported():
			v.Field(i).Set(normal(v.Field(i)))
		case field.Anonymous && v.Field(i).Kind() == reflect.Struct:
			normalizeFields(v.Field(i))
		}
	}
}

func normalPointer(v reflect.Value) reflect.Value {
	if v.IsNil() {
		return v
	}
	inner := normal(v.Elem())
	if v.Kind() == reflect.Interface {
		return inner
	}
	out := reflect.New(inner.Type())
	out.Elem().Set(inner)
	return out
}

func wrapWrite(err error) error {
	if err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	return nil
}

// jsonStream writes one JSON object with a list that need not fit into memory, with an item on each line. It keeps the
// first error, which end returns.
type jsonStream struct {
	// list is the name of the list.
	list  string
	begun bool
	items int
	err   error
}

// begin writes the begin of the object. Without it, the first item or the end does.
func (s *jsonStream) begin() error {
	if !s.begun {
		s.begun = true
		s.write(fmt.Appendf(nil, "{\n  %q: [", s.list))
	}
	return s.err
}

func (s *jsonStream) write(data []byte) {
	if s.err == nil {
		_, err := jsonOut.Write(data)
		s.err = wrapWrite(err)
	}
}

// item adds an item to the list.
func (s *jsonStream) item(item any) error {
	if err := s.begin(); err != nil {
		return err
	}
	data, err := encodeJSON(item)
	if err != nil {
		s.err = err
		return err
	}
	separator := "\n    "
	if s.items > 0 {
		separator = ",\n    "
	}
	s.items++
	s.write(append([]byte(separator), data...))
	return s.err
}

// end adds the members of an answer, and ends the object. The answer must have members. If names are given, only these
// are added.
func (s *jsonStream) end(answer any, names ...string) error {
	err := s.begin()
	if err != nil {
		return err
	}
	data, err := encodeJSON(answer)
	if err == nil && len(names) > 0 {
		data, err = selectMembers(data, names)
	}
	if err != nil {
		return err
	}
	var rest bytes.Buffer
	if err := json.Indent(&rest, data, "", "  "); err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	tail := rest.Bytes()[1:] // without the brace that begins it
	if s.items > 0 {
		s.write([]byte("\n  "))
	}
	s.write(append(append([]byte("],"), tail...), '\n'))
	return s.err
}

var errNoMember = errors.New("the answer lacks a member")

// selectMembers returns an object with some members of another.
func selectMembers(object []byte, names []string) ([]byte, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(object, &members); err != nil {
		return nil, fmt.Errorf("encode the answer: %w", err)
	}
	out := []byte("{")
	for i, name := range names {
		if members[name] == nil {
			return nil, fmt.Errorf("encode the answer: %s: %w", name, errNoMember)
		}
		if i > 0 {
			out = append(out, ',')
		}
		out = append(fmt.Appendf(out, "%q:", name), members[name]...)
	}
	return append(out, '}'), nil
}
