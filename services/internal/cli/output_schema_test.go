package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/driftless-sync/driftless/services/internal/connectjson"
)

const schemaFile = "../../../docs/output.schema.json"

// schemaURL is where the compiler has the schema. It must be absolute, since tests change their directory.
const schemaURL = "https://localhost/output.schema.json"

type object = map[string]any

// schemas makes the JSON Schema of all answers.
type schemas struct {
	defs object
	// strict refuses members that are not described. Readers have to expect more of them.
	strict bool
}

// outputSchema is the JSON Schema of docs/output.schema.json.
func outputSchema(strict bool) object {
	s := &schemas{object{}, strict}
	for command, answers := range answersOf {
		var of []any
		for _, answer := range answers {
			of = append(of, s.answer(answer))
		}
		s.defs[commandDef(command)] = object{"description": "driftless " + command, "anyOf": of}
	}
	s.defs["error"] = s.value(reflect.ValueOf(failureAnswer{}))
	return object{
		"$schema": "https://json-schema.org/draft/2020-12/schema",
		"title":   "What driftless prints with -o json",
		"description": "Each command has its definition, such as drift-list; error is the last line of standard error. " +
			"See output.md.",
		"$defs": s.defs,
	}
}

func commandDef(command string) string { return strings.ReplaceAll(command, " ", "-") }

func (s *schemas) answer(answer any) object {
	a, ok := answer.(streamed)
	if !ok {
		return s.value(reflect.ValueOf(answer))
	}
	end, _ := s.defs[s.define(a.end)].(object)
	members, _ := end["properties"].(object)
	names := a.names
	if len(names) == 0 {
		for name := range members {
			names = append(names, name)
		}
	}
	properties := object{a.list: object{"type": "array", "items": s.answer(a.item)}}
	for _, name := range names {
		properties[name] = members[name]
	}
	return s.object(properties, append(slices.Clone(names), a.list))
}

// define defines the type of an answer, and returns its name.
func (s *schemas) define(answer any) string {
	ref, _ := s.value(reflect.ValueOf(answer))["$ref"].(string)
	return strings.TrimPrefix(ref, "#/$defs/")
}

func (s *schemas) object(properties object, required []string) object {
	slices.Sort(required)
	out := object{"type": "object", "properties": properties, "required": required}
	if s.strict {
		out["additionalProperties"] = false
	}
	return out
}

func reference(name string) object { return object{"$ref": "#/$defs/" + name} }

func orNull(schema object) object { return object{"anyOf": []any{schema, object{"type": "null"}}} }

// value is the schema of a Go value, which printJSON writes.
func (s *schemas) value(v reflect.Value) object {
	if m, ok := reflect.TypeAssert[*message](v); ok {
		return orNull(s.value(reflect.ValueOf(m.Message)))
	}
	if m, ok := reflect.TypeAssert[message](v); ok {
		return s.value(reflect.ValueOf(m.Message))
	}
	if m, ok := reflect.TypeAssert[proto.Message](v); ok {
		return s.message(m.ProtoReflect().Descriptor())
	}
	if v.Type() == reflect.TypeFor[time.Time]() {
		return object{"type": "string", "format": "date-time"}
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			v = reflect.New(v.Type().Elem())
		}
		return orNull(s.value(v.Elem()))
	case reflect.Slice:
		item := reflect.New(v.Type().Elem()).Elem()
		if v.Len() > 0 {
			item = v.Index(0)
		}
		return object{"type": "array", "items": s.value(item)}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": s.value(reflect.New(v.Type().Elem()).Elem())}
	case reflect.Struct:
		return s.structure(v)
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Float64:
		return object{"type": "number"}
	default:
		return object{"type": "integer"}
	}
}

func (s *schemas) structure(v reflect.Value) object {
	name := v.Type().String()
	if s.defs[name] == nil {
		s.defs[name] = object{} // it may hold itself
		properties, required := object{}, []string{}
		s.members(v, properties, &required)
		s.defs[name] = s.object(properties, required)
	}
	return reference(name)
}

func (s *schemas) members(v reflect.Value, properties object, required *[]string) {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case name == "-" || !field.IsExported() && !field.Anonymous:
		case field.Anonymous && name == "":
			s.members(v.Field(i), properties, required)
		default:
			properties[name] = s.value(v.Field(i))
			if options != "omitempty" {
				*required = append(*required, name)
			}
		}
	}
}

func (s *schemas) message(m protoreflect.MessageDescriptor) object {
	switch m.FullName() {
	case "google.protobuf.Timestamp":
		return object{"type": "string", "format": "date-time"}
	case "google.protobuf.Duration":
		return object{"type": "string", "pattern": `^-?[0-9]+(\.[0-9]+)?s$`}
	}
	name := string(m.FullName())
	if s.defs[name] == nil {
		s.defs[name] = object{} // it may hold itself
		properties, required := object{}, []string{}
		for i := range m.Fields().Len() {
			f := m.Fields().Get(i)
			properties[string(f.Name())] = s.field(f)
			if f.ContainingOneof() == nil {
				required = append(required, string(f.Name()))
			}
		}
		s.defs[name] = s.object(properties, required)
	}
	return reference(name)
}

func (s *schemas) field(f protoreflect.FieldDescriptor) object {
	switch {
	case f.IsMap():
		return object{"type": "object", "additionalProperties": s.scalar(f.MapValue())}
	case f.IsList():
		return object{"type": "array", "items": s.scalar(f)}
	case f.Message() != nil && f.ContainingOneof() == nil:
		return orNull(s.scalar(f))
	default:
		return s.scalar(f)
	}
}

func (s *schemas) scalar(f protoreflect.FieldDescriptor) object {
	switch {
	case f.Message() != nil:
		return s.message(f.Message())
	case f.Enum() != nil:
		var names []any
		for i := range f.Enum().Values().Len() {
			names = append(names, string(f.Enum().Values().Get(i).Name()))
		}
		return object{"anyOf": []any{
			object{"enum": names},
			object{"description": "A value of a later version.", "type": "integer"},
		}}
	case connectjson.IsWhole(f):
		return object{
			"description": "A whole number, or null. A text is a value that Stripe would refuse.",
			"type":        []any{"integer", "null", "string"},
		}
	case connectjson.IsNumber(f):
		return object{"type": "integer"}
	}
	switch f.Kind() {
	case protoreflect.BoolKind:
		return object{"type": "boolean"}
	case protoreflect.DoubleKind, protoreflect.FloatKind:
		return object{"type": "number"}
	case protoreflect.Int32Kind, protoreflect.Uint32Kind, protoreflect.Sint32Kind:
		return object{"type": "integer"}
	default:
		return object{"type": "string"}
	}
}

// strictSchema compiles the schema once for all tests.
var strictSchema = sync.OnceValue(func() *jsonschema.Compiler {
	var encoded bytes.Buffer
	if err := json.NewEncoder(&encoded).Encode(outputSchema(true)); err != nil {
		panic(err)
	}
	document, err := jsonschema.UnmarshalJSON(&encoded)
	if err != nil {
		panic(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource(schemaURL, document); err != nil {
		panic(err)
	}
	return compiler
})

// compiling guards the compiler, which is not safe for concurrent use.
var compiling sync.Mutex

// checkOutput checks what a command printed on standard output against the schema, if it was asked for JSON.
func checkOutput(args []string, out string) error {
	if !wantsJSON(args) || slices.Contains(args, "--csv") || strings.TrimSpace(out) == "" {
		return nil
	}
	parser, _ := newParser(context.Background())
	parsed, err := parser.Parse(args)
	if err != nil {
		return nil //nolint:nilerr // it has printed an error
	}
	compiling.Lock()
	schema, err := strictSchema().Compile(schemaURL + "#/$defs/" + commandDef(commandOf(parsed.Selected())))
	compiling.Unlock()
	if err != nil {
		return err
	}
	// A command that repeats or follows something prints several answers.
	for decoder := json.NewDecoder(strings.NewReader(out)); decoder.More(); {
		var raw json.RawMessage
		if err := decoder.Decode(&raw); err != nil {
			return err
		}
		answer, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
		if err == nil {
			err = schema.Validate(answer)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func TestOutputSchema_IsCurrent(t *testing.T) {
	t.Parallel()
	want, err := json.MarshalIndent(outputSchema(false), "", "  ")
	require.NoError(t, err)
	if *update {
		require.NoError(t, os.WriteFile(schemaFile, append(want, '\n'), 0o600))
	}
	have, err := os.ReadFile(schemaFile)
	require.NoError(t, err)
	require.Equal(t, string(want)+"\n", string(have), "run `go test ./internal/cli -run TestOutputSchema -update`")
}

func TestOutputSchema_HasEveryCommand(t *testing.T) {
	t.Parallel()
	parser, _ := newParser(t.Context())
	var commands []string
	for _, node := range parser.Model.Leaves(false) {
		if command := commandOf(node); !slices.Contains(withoutJSON, command) {
			require.NotEmpty(t, answersOf[command], "what does driftless %s print with -o json?", command)
			commands = append(commands, command)
		}
	}
	require.Len(t, answersOf, len(commands), "there are answers of a command that does not exist")
	for name, def := range outputSchema(true)["$defs"].(object) {
		properties, _ := def.(object)["properties"].(object)
		for member := range properties {
			require.Regexp(t, `^[a-z][a-z0-9_]*$`, member, name)
		}
	}
}

// TestPrintJSON_FitsSchema: the encoder writes an empty answer of every type as the schema says.
func TestPrintJSON_FitsSchema(t *testing.T) {
	t.Parallel()
	for command, answers := range answersOf {
		for _, answer := range answers {
			if _, ok := answer.(streamed); ok {
				continue
			}
			data, err := encodeJSON(answer)
			require.NoError(t, err, command)
			require.NoError(t,
				checkOutput(append(strings.Fields(examples[command][0].command), "-o", "json"), string(data)))
		}
	}
}

func TestEncodeJSON_ListsAndTimes(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("CET", 3600)
	data, err := encodeJSON(struct {
		embedded

		List []string       `json:"list"`
		Map  map[string]int `json:"map"`
		At   *time.Time     `json:"at"`
		Text string         `json:"text"`
	}{Text: "a < b", At: ptr(time.Date(2026, 11, 26, 1, 0, 0, 0, zone))})
	require.NoError(t, err)
	want := `{"inner":[],"list":[],"map":{},"at":"2026-11-26T00:00:00Z","text":"a < b"}`
	require.Equal(t, []byte(want), data)
}

type embedded struct {
	Inner []string `json:"inner"`
}

func ptr[T any](v T) *T { return &v }
