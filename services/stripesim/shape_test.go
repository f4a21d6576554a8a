package stripesim

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-mock/embedded"
)

// specShape is a parameter in Stripe's OpenAPI document.
type specShape struct {
	Type       string                `json:"type"`
	Format     string                `json:"format"`
	Enum       []string              `json:"enum"`
	MaxLength  int                   `json:"maxLength"`
	Properties map[string]*specShape `json:"properties"`
	Required   []string              `json:"required"`
	Items      *specShape            `json:"items"`
	Additional json.RawMessage       `json:"additionalProperties"`
	AnyOf      []*specShape          `json:"anyOf"`
}

type specOperation struct {
	Parameters []struct {
		Name     string     `json:"name"`
		In       string     `json:"in"`
		Required bool       `json:"required"`
		Schema   *specShape `json:"schema"`
	} `json:"parameters"`
	RequestBody struct {
		Content map[string]struct {
			Schema *specShape `json:"schema"`
		} `json:"content"`
	} `json:"requestBody"`
}

// acceptedInAddition are parameters that the simulator accepts in addition to Stripe's document, with the reason.
var acceptedInAddition = map[string]string{
	"POST /v1/products features":      "the name of marketing_features before version 2024-04-10",
	"POST /v1/products/{id} features": "the name of marketing_features before version 2024-04-10",
	"POST /v1/products type":          "good or service: left the document with version 2024-04-10, stripe-go v76 still has it",

	"POST /v1/prices recurring[aggregate_usage]":   "left the document with version 2025-03-31, stripe-go v76 still has it",
	"POST /v1/prices recurring[trial_period_days]": "left the document with version 2025-03-31, stripe-go v76 still has it",
}

// stricter are rules that Stripe's document does not have, with the reason.
var stricter = map[string]string{
	"POST /v1/products marketing_features[][name]":      "80 characters, says the reference",
	"POST /v1/products/{id} marketing_features[][name]": "80 characters, says the reference",
}

func TestShapes_MatchStripe(t *testing.T) {
	t.Parallel()
	var document struct {
		Paths map[string]map[string]specOperation `json:"paths"`
	}
	require.NoError(t, json.Unmarshal(embedded.OpenAPISpec, &document))
	for _, op := range operations {
		spec, ok := document.Paths[op.path][strings.ToLower(op.method)]
		if !ok {
			t.Errorf("%s is no operation of Stripe's", op.name())
			continue
		}
		want := &specShape{Type: "object", Properties: map[string]*specShape{}}
		if body := spec.RequestBody.Content["application/x-www-form-urlencoded"].Schema; body != nil {
			want.Properties, want.Required = body.Properties, body.Required
		}
		if want.Properties == nil {
			want.Properties = map[string]*specShape{}
		}
		for _, p := range spec.Parameters {
			if p.In == "query" {
				want.Properties[p.Name] = p.Schema
				if p.Required {
					want.Required = append(want.Required, p.Name)
				}
			}
		}
		for _, problem := range compareFields(op.name()+" ", op.params, want) {
			t.Error(problem)
		}
	}
}

// The comparison must be able to fail.
func TestShapeComparison_FindsDeviations(t *testing.T) {
	t.Parallel()
	spec := &specShape{Type: "object", Required: []string{"name"}, Properties: map[string]*specShape{
		"name": {Type: "string", MaxLength: 10}, "size": {Type: "integer"},
		"round": {Type: "string", Enum: []string{"up"}},
	}}
	right := map[string]shape{
		"name":  {max: 10, required: true},
		"size":  {kind: integer},
		"round": {kind: enumeration, choices: []string{"up"}},
	}
	require.Empty(t, compareFields("", right, spec))
	for name, s := range map[string]map[string]shape{
		"unknown":      {"name": right["name"], "size": right["size"], "round": right["round"], "colour": {}},
		"left out":     {"name": right["name"], "size": right["size"]},
		"type":         {"name": right["name"], "size": {}, "round": right["round"]},
		"longer":       {"name": {max: 20, required: true}, "size": right["size"], "round": right["round"]},
		"not required": {"name": {max: 10}, "size": right["size"], "round": right["round"]},
		"other choices": {
			"name":  right["name"],
			"size":  right["size"],
			"round": {kind: enumeration, choices: []string{"down"}},
		},
		"clears": {
			"name":  {max: 10, required: true, clears: true},
			"size":  right["size"],
			"round": right["round"],
		},
	} {
		require.NotEmpty(t, compareFields("", s, spec), name)
	}
}

func compareFields(at string, have map[string]shape, spec *specShape) []string {
	var out []string
	for _, name := range sortedKeys(have) {
		want, ok := spec.Properties[name]
		if !ok {
			if acceptedInAddition[at+name] == "" {
				out = append(out, fmt.Sprintf("%s%s is not in Stripe's document", at, name))
			}
			continue
		}
		if have[name].required != slices.Contains(spec.Required, name) {
			out = append(out, fmt.Sprintf("%s%s: required is %v, not Stripe's", at, name, have[name].required))
		}
		out = append(out, compare(at+name, have[name], want)...)
	}
	for _, name := range sortedKeys(spec.Properties) {
		if _, ok := have[name]; !ok {
			out = append(out, fmt.Sprintf("%s%s is Stripe's, but not accepted", at, name))
		}
	}
	return out
}

func compare(at string, have shape, spec *specShape) []string {
	var out []string
	clears := false
	var choices []*specShape
	for _, s := range spec.AnyOf {
		if slices.Equal(s.Enum, []string{""}) {
			clears = true
		} else {
			choices = append(choices, s)
		}
	}
	if len(choices) == 1 {
		spec = choices[0]
	}
	if have.clears && !clears && have.undocumented == "" {
		out = append(out, at+" is cleared by an empty value without a reason")
	}
	if clears && !have.clears {
		out = append(out, at+" is not cleared by an empty value")
	}
	if have.kind == inf || have.kind == timeRange {
		if len(choices) != 2 {
			out = append(out, at+" has no choices in Stripe's document")
		}
		return out
	}
	if want := specType(have.kind); spec.Type != want {
		return append(out, fmt.Sprintf("%s is a %s, not Stripe's %s", at, want, spec.Type))
	}
	switch have.kind {
	case enumeration:
		if !slices.Equal(slices.Sorted(slices.Values(have.choices)), slices.Sorted(slices.Values(spec.Enum))) {
			out = append(out, fmt.Sprintf("%s offers %v, not Stripe's %v", at, have.choices, spec.Enum))
		}
	case hash:
		out = append(out, inBrackets(at, have, spec)...)
	case list:
		out = append(out, compare(at+"[]", *have.item, spec.Items)...)
	case mapping:
		var item specShape
		if err := json.Unmarshal(spec.Additional, &item); err != nil {
			return append(out, at+" is no map in Stripe's document")
		}
		out = append(out, compare(at+"[]", *have.item, &item)...)
	case text:
		if spec.MaxLength > 0 && have.max != spec.MaxLength && (stricter[at] == "" || have.max > spec.MaxLength) {
			out = append(out, fmt.Sprintf("%s takes %d characters, not Stripe's %d", at, have.max, spec.MaxLength))
		}
	default:
	}
	return out
}

func inBrackets(at string, have shape, spec *specShape) []string {
	var out []string
	for _, problem := range compareFields("", have.fields, spec) {
		name, rest, _ := strings.Cut(problem, " ")
		base, brackets, _ := strings.Cut(strings.TrimSuffix(name, ":"), "[")
		if brackets != "" {
			brackets = "[" + brackets
		}
		full := at + "[" + base + "]" + brackets
		if stricter[full] == "" && acceptedInAddition[full] == "" {
			out = append(out, full+" "+rest)
		}
	}
	return out
}

func specType(k kind) string {
	switch k {
	case boolean:
		return "boolean"
	case integer, amount:
		return "integer"
	case measure:
		return "number"
	case list:
		return "array"
	case hash, mapping, metadata:
		return "object"
	default:
		return "string"
	}
}
