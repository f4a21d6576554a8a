package cloudevent

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	sdk "github.com/cloudevents/sdk-go/v2/event"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write docs/events.schema.json")

const schemaFile = "../../../../docs/events.schema.json"

// examples has an event of each kind, with every field.
var examples = map[Kind]any{
	PriceLive:       full[Price](),
	PriceArchived:   full[Price](),
	ProductLive:     full[Product](),
	ProductArchived: full[Product](),
	DriftFound:      full[Drift](),
	DriftSettled:    full[Drift](),
	ChangeHeld:      full[Held](),
	ChangeReleased:  full[Released](),
	ChangeDead:      full[Dead](),
	ChangeRecovered: full[Recovered](),
}

// full returns a value whose fields are all set.
func full[T any]() T {
	var v T
	fill(reflect.ValueOf(&v).Elem())
	return v
}

func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int64:
		v.SetInt(1400)
	case reflect.Uint32:
		v.SetUint(3)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Struct:
		if _, ok := reflect.TypeAssert[time.Time](v); ok {
			v.Set(reflect.ValueOf(time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)))
			return
		}
		for _, field := range v.Fields() {
			fill(field)
		}
	default:
		panic("no example of " + v.Kind().String())
	}
}

func example(kind Kind, product string) Event {
	return Event{
		Kind: kind, Account: "shop", Product: product, Fact: "1", Data: examples[kind],
		At:          time.Date(2026, 5, 1, 12, 0, 0, 123456000, time.FixedZone("", 7200)),
		Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	}
}

// TestEncode_IsACloudEvent reads every kind with the SDK of the specification, and by the schema.
func TestEncode_IsACloudEvent(t *testing.T) {
	t.Parallel()
	schema, err := jsonschema.NewCompiler().Compile(schemaFile)
	require.NoError(t, err)
	for _, kind := range Kinds {
		for _, product := range []string{"mug", "m\x00ug", strings.Repeat("m", 2000)} {
			body, err := example(kind, product).Encode()
			require.NoError(t, err)
			var event sdk.Event
			require.NoError(t, json.Unmarshal(body, &event))
			require.NoError(t, event.Validate())
			require.Equal(t, "driftless."+string(kind)+".v1", event.Type())
			require.Equal(t, "/driftless/shop", event.Source())
			require.Equal(t, "2026-05-01T10:00:00.123456Z", event.Time().Format(time.RFC3339Nano))
			require.Equal(t, "application/json", event.DataContentType())
			require.Equal(t, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
				event.Extensions()["traceparent"])
			if product == "m\x00ug" {
				require.Empty(t, event.Subject(), "an attribute has no control characters")
			} else {
				require.Equal(t, product, event.Subject())
			}
			value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
			require.NoError(t, err)
			require.NoError(t, schema.Validate(value))
			broken := value.(map[string]any)
			delete(broken["data"].(map[string]any), "product_id")
			require.Error(t, schema.Validate(broken), "the schema checks the data of %s", kind)
		}
	}
}

func TestID_DependsOnTheFact(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, e := range []Event{
		{Kind: PriceLive, Account: "shop", Product: "mug", Fact: "1"},
		{Kind: PriceArchived, Account: "shop", Product: "mug", Fact: "1"},
		{Kind: PriceLive, Account: "us", Product: "mug", Fact: "1"},
		{Kind: PriceLive, Account: "shop", Product: "mug", Fact: "2"},
		{Kind: PriceLive, Account: "shop", Product: "mug1", Fact: ""},
	} {
		require.False(t, seen[e.ID()])
		seen[e.ID()] = true
		e.Data, e.At, e.Traceparent = full[Price](), time.Now(), "x"
		require.True(t, seen[e.ID()])
	}
}

func TestText_CutsBetweenCharacters(t *testing.T) {
	t.Parallel()
	require.Equal(t, "mug", Text("mug"))
	require.Equal(t, strings.Repeat("é", maxText/2)+"…", Text(strings.Repeat("é", maxText)))
	require.Equal(t, "x"+strings.Repeat("é", maxText/2-1)+"…", Text("x"+strings.Repeat("é", maxText)))
}

// TestSchema_IsFresh checks that the committed schema describes the types of the data.
func TestSchema_IsFresh(t *testing.T) {
	kinds, types := []any{}, map[string]any{}
	for _, kind := range Kinds {
		data := reflect.TypeOf(examples[kind])
		types[data.Name()] = schemaOf(data)
		kinds = append(kinds, map[string]any{
			"title": string(kind),
			"properties": map[string]any{
				"type": map[string]any{"const": kind.Type()},
				"data": map[string]any{"$ref": "#/$defs/" + data.Name()},
			},
		})
	}
	text := map[string]any{"type": "string", "minLength": 1}
	want, err := json.MarshalIndent(map[string]any{
		"$schema":     "https://json-schema.org/draft/2020-12/schema",
		"title":       "Events of Driftless",
		"description": "A CloudEvent 1.0 in structured mode. Fields may be added: a reader ignores those that it does not know.",
		"type":        "object",
		"required":    []string{"specversion", "id", "source", "type", "time", "datacontenttype", "data"},
		"properties": map[string]any{
			"specversion":     map[string]any{"const": "1.0"},
			"id":              text,
			"source":          map[string]any{"type": "string", "pattern": "^/driftless/."},
			"type":            text,
			"subject":         text,
			"time":            map[string]any{"type": "string", "format": "date-time"},
			"traceparent":     text,
			"datacontenttype": map[string]any{"const": "application/json"},
		},
		"oneOf": kinds,
		"$defs": types,
	}, "", "  ")
	require.NoError(t, err)
	want = append(want, '\n')
	if *update {
		require.NoError(t, os.WriteFile(schemaFile, want, 0o600))
	}
	have, err := os.ReadFile(schemaFile)
	require.NoError(t, err)
	if !bytes.Equal(want, have) {
		t.Error("docs/events.schema.json is stale; update it with: go test ./reconciliation/internal/cloudevent -update")
	}
}

// schemaOf returns the schema of a type of data.
func schemaOf(of reflect.Type) map[string]any {
	switch of.Kind() {
	case reflect.Pointer:
		return schemaOf(of.Elem())
	case reflect.Slice:
		return map[string]any{"type": "array", "items": schemaOf(of.Elem())}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int64, reflect.Uint32:
		return map[string]any{"type": "integer"}
	case reflect.String:
		return map[string]any{"type": "string"}
	default:
	}
	if of == reflect.TypeFor[time.Time]() {
		return map[string]any{"type": "string", "format": "date-time"}
	}
	properties, required := map[string]any{}, []string{}
	for field := range of.Fields() {
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		property := schemaOf(field.Type)
		property["description"] = field.Tag.Get("doc")
		properties[name] = property
		if options != "omitempty" {
			required = append(required, name)
		}
	}
	return map[string]any{"type": "object", "required": required, "properties": properties}
}
