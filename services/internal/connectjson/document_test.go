package connectjson

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	validatepb "buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"buf.build/go/protovalidate"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	ingestv1 "github.com/driftless-sync/driftless/proto/driftless/ingest/v1"
)

var update = flag.Bool("update", false, "write docs/api.md")

// page has every call of the APIs.
const page = "../../../docs/api.md"

// In this text "~" replaces the backtick.
const documentIntro = `# The APIs

For programs that write products, ask for the state of the mesh, or operate it. Both services speak JSON over HTTP, gRPC
and the Connect protocol on one port. The page is made from the contracts in ~proto~. The [command line](cli.md) uses
only these calls.

## Make a call

| service | address | environment of the service |
|---|---|---|
| IngestService | ~http://127.0.0.1:8080~ | ~DRIFTLESS_INGESTION_ADDR~ of ingestion |
| ControlService | ~http://127.0.0.1:8082~ | ~DRIFTLESS_RECONCILIATION_ADDR~ of reconciliation |

A call is a ~POST~ with a JSON object. If a token is set (~DRIFTLESS_TOKEN~), it is in the header ~Authorization~. Here
the header comes from a file, so that no list of processes shows it. ~driftless up~ keeps its token in ~.data/token~:

~~~sh
sed 's/^/Authorization: Bearer /' .data/token > header
~~~

- **Names** of fields are those of this page. An unknown field is refused.
- **Empty fields** (0, ~""~, ~false~, an empty list) are left out of answers.
- **uint64** is a text in answers, because JSON numbers cannot hold 64 bits. Requests take numbers, too.
- **Amounts** are decimal texts in the currency's minor unit, such as cents. Requests take numbers, too: ~1400~. No
  digit is lost.
- **Times** are RFC 3339 in UTC. **Durations** are seconds with an ~s~: ~90s~.
- **Enums** are texts.
- **Pages:** if an answer is ~truncated~, repeat the request with the last id in ~after~.

## Errors

An error has a status of HTTP that is not 200, and this body: ~{"code": "not_found", "message": "..."}~. The message
says what to do. ~details~ may have more, such as a FieldViolation for each fault of a product.

| code | HTTP | meaning |
|---|---|---|
| ~invalid_argument~ | 400 | the request breaks a rule; the message names the field |
| ~failed_precondition~ | 400 | it cannot be done in the present state: the message says what to change first |
| ~unauthenticated~ | 401 | the token is missing or wrong |
| ~permission_denied~ | 403 | the token's role may not do that |
| ~not_found~ | 404 | nothing has this id |
| ~resource_exhausted~ | 429 | the request is too large |
| ~unavailable~ | 503 | a database or NATS does not answer; try again |
| ~deadline_exceeded~ | 504 | it took too long |
`

// services are the APIs with the addresses of their examples.
var services = []struct {
	file    protoreflect.FileDescriptor
	address string
}{
	{ingestv1.File_driftless_ingest_v1_ingest_proto, "http://127.0.0.1:8080"},
	{controlv1.File_driftless_control_v1_control_proto, "http://127.0.0.1:8082"},
}

func TestDocument_IsFresh(t *testing.T) {
	d := documenter{t: t, comments: comments(t), anchors: map[string]protoreflect.FullName{}}
	want := d.document()
	if *update {
		require.NoError(t, os.WriteFile(page, []byte(want), 0o600))
	}
	have, err := os.ReadFile(page)
	require.NoError(t, err)
	require.Equal(t, want, string(have), "update it with: go test ./internal/connectjson -update")
}

// documenter writes the page.
type documenter struct {
	strings.Builder

	t        *testing.T
	comments map[string]string
	// types are the messages and enums that the page has to describe, in the order in which they were met.
	types   []protoreflect.Descriptor
	anchors map[string]protoreflect.FullName
}

func (d *documenter) document() string {
	d.WriteString(strings.ReplaceAll(documentIntro, "~", "`"))
	calls := 0
	for _, s := range services {
		for i := range s.file.Services().Len() {
			service := s.file.Services().Get(i)
			fmt.Fprintf(d, "\n## %s\n", service.Name())
			d.paragraph(d.comment(service))
			for j := range service.Methods().Len() {
				d.call(service.Methods().Get(j), s.address)
				calls++
			}
		}
	}
	require.Len(d.t, requests, calls, "there are requests of calls that do not exist")
	d.WriteString("\n## Types\n")
	for next := 0; next < len(d.types); {
		about := d.types[next]
		next++
		fmt.Fprintf(d, "\n### %s\n", typeName(about))
		d.paragraph(d.comment(about))
		// This may find more types.
		switch described := about.(type) {
		case protoreflect.MessageDescriptor:
			d.fields(described)
		case protoreflect.EnumDescriptor:
			d.values(described)
		}
	}
	return d.String()
}

// comment returns the comment of the contract. A name that the contracts do not have is an error of the scanner.
func (d *documenter) comment(about protoreflect.Descriptor) string {
	name := string(about.FullName())
	if value, ok := about.(protoreflect.EnumValueDescriptor); ok {
		name = string(value.Parent().FullName()) + "." + string(value.Name())
	}
	text, ok := d.comments[name]
	require.True(d.t, ok, "%s is not in the contracts", name)
	return text
}

func (d *documenter) call(call protoreflect.MethodDescriptor, address string) {
	name := string(call.Name())
	request := requests[name]
	require.NotEmpty(d.t, request, "the call %s has no example", name)
	message := newMessage(d.t, call.Input())
	require.NoError(d.t, boundedCodec{}.Unmarshal([]byte(request), message), name)
	require.NoError(d.t, protovalidate.Validate(message), name)

	fmt.Fprintf(d, "\n### %s\n", name)
	d.paragraph(d.comment(call))
	path := fmt.Sprintf("/%s/%s", call.Parent().FullName(), name)
	fmt.Fprintf(d, "\n```sh\ncurl -s -H @header --json '%s' \\\n  %s%s\n```\n", request, address, path)
	d.body("Request", call.Input())
	d.body("Answer", call.Output())
}

func newMessage(t *testing.T, of protoreflect.MessageDescriptor) proto.Message {
	t.Helper()
	message, err := protoregistry.GlobalTypes.FindMessageByName(of.FullName())
	require.NoError(t, err)
	return message.New().Interface()
}

func (d *documenter) body(title string, message protoreflect.MessageDescriptor) {
	if message.Fields().Len() == 0 {
		fmt.Fprintf(d, "\n%s: an empty object.\n", title)
		return
	}
	fmt.Fprintf(d, "\n%s:\n", title)
	d.fields(message)
}

func (d *documenter) fields(message protoreflect.MessageDescriptor) {
	d.WriteString("\n| field | type | meaning |\n|---|---|---|\n")
	for i := range message.Fields().Len() {
		field := message.Fields().Get(i)
		meaning := d.comment(field)
		if limits := limitsOf(field); limits != "" {
			meaning = strings.TrimSpace(meaning + " " + limits)
		}
		fmt.Fprintf(d, "| `%s` | %s | %s |\n", field.Name(), d.typeOf(field), strings.ReplaceAll(meaning, "|", `\|`))
	}
}

func (d *documenter) values(enum protoreflect.EnumDescriptor) {
	d.WriteString("\n| value | meaning |\n|---|---|\n")
	for i := range enum.Values().Len() {
		// The first value is that of an absent field.
		if value := enum.Values().Get(i); value.Number() != 0 {
			fmt.Fprintf(d, "| `%s` | %s |\n", value.Name(), d.comment(value))
		}
	}
}

// typeOf returns the type of a field in JSON.
func (d *documenter) typeOf(field protoreflect.FieldDescriptor) string {
	switch {
	case field.IsMap():
		return "object of " + d.kindOf(field.MapValue())
	case field.IsList():
		return "list of " + d.kindOf(field)
	default:
		return d.kindOf(field)
	}
}

func (d *documenter) kindOf(field protoreflect.FieldDescriptor) string {
	switch {
	case field.Enum() != nil:
		return d.link(field.Enum())
	case field.Message() == nil && IsDecimal(field):
		return "decimal"
	case field.Message() == nil:
		return field.Kind().String()
	}
	switch field.Message().FullName() {
	case "google.protobuf.Timestamp":
		return "time"
	case "google.protobuf.Duration":
		return "duration"
	default:
		return d.link(field.Message())
	}
}

// link returns a link to the description of a type, which the page then has.
func (d *documenter) link(to protoreflect.Descriptor) string {
	name := typeName(to)
	if !slices.Contains(d.types, to) {
		require.Empty(d.t, d.anchors[name], "two types are called %s", name)
		d.types, d.anchors[name] = append(d.types, to), to.FullName()
	}
	return fmt.Sprintf("[%s](#%s)", name, strings.ToLower(strings.ReplaceAll(name, ".", "")))
}

// typeName returns the name of a type without its package.
func typeName(of protoreflect.Descriptor) string {
	return strings.TrimPrefix(string(of.FullName()), string(of.ParentFile().Package())+".")
}

// maxColumns is the width of a line of text on a page.
const maxColumns = 120

func (d *documenter) paragraph(text string) {
	if text == "" {
		return
	}
	width := 0
	for word := range strings.FieldsSeq(text) {
		switch {
		case width == 0:
			d.WriteString("\n")
		case width+1+len(word) > maxColumns:
			d.WriteString("\n")
			width = 0
		default:
			d.WriteString(" ")
			width++
		}
		d.WriteString(word)
		width += len(word)
	}
	d.WriteString("\n")
}

// limitWords say the rules of the contracts in words.
var limitWords = map[string]string{
	"min_items": "At least %v.", "max_items": "At most %v.", "unique": "No duplicates.",
	"min_len": "At least %v characters.", "max_len": "At most %v characters.", "max_bytes": "At most %v bytes.",
	"lte": "At most %v.", "gte": "At least %v.", "gt": "More than %v.", "lt": "Less than %v.",
	"pattern": "Matches `%v`.", "const": "Always %v.", "not_in": "Not %v.", "in": "One of %v.",
}

// limitsOf returns the rules of a field that words can say.
func limitsOf(field protoreflect.FieldDescriptor) string {
	rules, ok := proto.GetExtension(field.Options(), validatepb.E_Field).(*validatepb.FieldRules)
	if !ok || rules == nil {
		return ""
	}
	var out []string
	if rules.GetRequired() {
		out = append(out, "Required.")
	}
	rules.ProtoReflect().Range(func(kind protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if kind.Message() == nil || kind.IsList() {
			return true
		}
		fields := kind.Message().Fields()
		for i := range fields.Len() {
			rule := fields.Get(i)
			if words := limitWords[string(rule.Name())]; words != "" && v.Message().Has(rule) {
				out = append(out, sayLimit(words, rule, v.Message().Get(rule)))
			}
		}
		return true
	})
	return strings.Join(slices.DeleteFunc(out, func(s string) bool { return s == "" }), " ")
}

func sayLimit(words string, rule protoreflect.FieldDescriptor, v protoreflect.Value) string {
	switch {
	case rule.IsList() && rule.Kind() == protoreflect.StringKind:
		var list []string
		for i := range v.List().Len() {
			list = append(list, "`"+v.List().Get(i).String()+"`")
		}
		return fmt.Sprintf(words, strings.Join(list, ", "))
	case rule.Kind() == protoreflect.BoolKind:
		return words
	case rule.Message() != nil && !rule.IsList():
		return sayDuration(words, v)
	case rule.IsList():
		return "" // numbers of an enum, whose type says the values
	default:
		return fmt.Sprintf(words, v.Interface())
	}
}

func sayDuration(words string, v protoreflect.Value) string {
	seconds := v.Message().Get(v.Message().Descriptor().Fields().ByName("seconds")).Int()
	return fmt.Sprintf(words, fmt.Sprintf("%ds", seconds))
}
