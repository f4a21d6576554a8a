package stripesim_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-mock/embedded"

	"github.com/driftless-sync/driftless/services/stripesim"
)

// openAPI is Stripe's OpenAPI document as JSON Schema. The schemas are closed, so that an unknown field is a failure.
var openAPI = sync.OnceValues(func() (*contract, error) {
	d := json.NewDecoder(bytes.NewReader(embedded.OpenAPISpec))
	d.UseNumber()
	var document map[string]any
	if err := d.Decode(&document); err != nil {
		return nil, err
	}
	out := &contract{compiler: jsonschema.NewCompiler(), compiled: map[string]*jsonschema.Schema{}}
	paths, _ := document["paths"].(map[string]any)
	parameter := regexp.MustCompile(`\\\{[^/]*?\\\}`)
	for pattern, item := range paths {
		methods, _ := item.(map[string]any)
		literal := parameter.ReplaceAllString(regexp.QuoteMeta(pattern), `[^/]+`)
		out.paths = append(out.paths, specPath{pattern, regexp.MustCompile("^" + literal + "$"), methods})
	}
	toJSONSchema(document)
	return out, out.compiler.AddResource("stripe.json", document)
})

type contract struct {
	paths []specPath

	mu       sync.Mutex
	compiler *jsonschema.Compiler
	compiled map[string]*jsonschema.Schema
}

type specPath struct {
	pattern string
	matches *regexp.Regexp
	methods map[string]any
}

// toJSONSchema converts OpenAPI 3.0 schemas in place: nullable becomes a type of its own, and an object with properties
// has no others.
func toJSONSchema(v any) {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			toJSONSchema(item)
		}
	case map[string]any:
		for _, item := range v {
			toJSONSchema(item)
		}
		if properties, ok := v["properties"].(map[string]any); ok && v["type"] == "object" && len(properties) > 0 {
			if _, open := v["additionalProperties"]; !open {
				v["additionalProperties"] = false
			}
		}
		if v["nullable"] == true {
			delete(v, "nullable")
			whole := map[string]any{}
			for name, item := range v {
				whole[name] = item
				delete(v, name)
			}
			v["anyOf"] = []any{whole, map[string]any{"type": "null"}}
		}
	}
}

// operation returns the operation of a request.
func (c *contract) operation(method, path string) (string, bool) {
	best, found := "", false
	for _, p := range c.paths {
		if p.methods[strings.ToLower(method)] != nil && p.matches.MatchString(path) &&
			(!found || strings.Count(p.pattern, "{") < strings.Count(best, "{")) {
			best, found = p.pattern, true
		}
	}
	return best, found
}

func (c *contract) schema(pointer string) (*jsonschema.Schema, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s, ok := c.compiled[pointer]; ok {
		return s, nil
	}
	s, err := c.compiler.Compile("stripe.json#" + pointer)
	if err == nil {
		c.compiled[pointer] = s
	}
	return s, err
}

// check compares an answer with the document.
func (c *contract) check(method, path string, status int, body []byte) error {
	pattern, ok := c.operation(method, path)
	answered := "200"
	if !ok {
		if status == http.StatusOK {
			return fmt.Errorf("%s %s is no operation of Stripe's", method, path)
		}
		// An answer without an object has the same form of error.
		method, pattern = http.MethodGet, "/v1/products"
	}
	if status != http.StatusOK {
		answered = "default"
	}
	escape := strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D")
	pointer := fmt.Sprintf("/paths/%s/%s/responses/%s/content/application~1json/schema", escape.Replace(pattern),
		strings.ToLower(method), answered)
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("the answer is no JSON: %w", err)
	}
	if err := c.validate(pointer, value); err != nil {
		return err
	}
	return c.events(value)
}

func (c *contract) validate(pointer string, value any) error {
	schema, err := c.schema(pointer)
	if err != nil {
		return err
	}
	return schema.Validate(current(value))
}

// events checks the object of an event, which the document leaves open.
func (c *contract) events(v any) error {
	object, ok := v.(map[string]any)
	if !ok {
		return nil
	}
	if items, ok := object["data"].([]any); ok {
		for _, item := range items {
			if err := c.events(item); err != nil {
				return err
			}
		}
	}
	if object["object"] != "event" {
		return nil
	}
	data, _ := object["data"].(map[string]any)
	shown, _ := data["object"].(map[string]any)
	kind, _ := shown["object"].(string)
	if shown["tiers"] != nil || shown["currency_options"] != nil {
		return fmt.Errorf("event %v shows what only an expansion shows", object["id"])
	}
	return c.validate("/components/schemas/"+kind, shown)
}

// current renders the products of an answer in the document's version of the API, which is later than 2025-03-31. The
// version has marketing_features instead of features. Products have no type there, prices no aggregate_usage and no
// trial_period_days, and subscriptions no period of their own.
func current(v any) any {
	switch v := v.(type) {
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = current(item)
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for name, item := range v {
			out[name] = current(item)
		}
		if features, ok := out["features"]; ok && out["object"] == "product" {
			out["marketing_features"] = features
			delete(out, "features")
			delete(out, "type")
		}
		if out["object"] == "subscription" {
			delete(out, "current_period_start")
			delete(out, "current_period_end")
		}
		if _, recurs := out["usage_type"]; recurs {
			delete(out, "aggregate_usage")
			delete(out, "trial_period_days")
		}
		return out
	default:
		return v
	}
}

// checkingTransport fails the test if Stripe would not give an answer.
type checkingTransport struct {
	t    *testing.T
	next http.RoundTripper
}

func (c *checkingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := c.next.RoundTrip(r)
	if err != nil || !strings.HasPrefix(r.URL.Path, "/v1/") || res.Header.Get("Content-Type") != "application/json" {
		return res, err
	}
	body, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil {
		return nil, err
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	document, err := openAPI()
	if err == nil {
		err = document.check(r.Method, r.URL.EscapedPath(), res.StatusCode, body)
	}
	if err != nil {
		c.t.Errorf("%s %s answered %d %s\nwhich Stripe would not: %v", r.Method, r.URL.Path, res.StatusCode, body, err)
	}
	return res, nil
}

func TestAnswers_HaveEveryFieldOfStripe(t *testing.T) {
	t.Parallel()
	h := start(t, stripesim.Config{APIVersion: "2026-08-26.dahlia"})
	id := h.create("/v1/products", "name", "Lamp", "default_price_data[currency]", "usd",
		"default_price_data[unit_amount]", "100")
	h.create("/v1/webhook_endpoints", "url", "http://127.0.0.1:1/hook", "enabled_events[]", "coupon.created")
	price := h.get("/v1/products/" + id).ok().text("default_price")
	h.link("line_items[0][price]", price)
	h.subscribe(h.recurringPrice("gold"), "active")
	for _, c := range []struct {
		schema string
		have   map[string]any
		absent []string
	}{
		{"product", h.get("/v1/products/" + id).ok().body, nil},
		{"price", h.get("/v1/prices/" + price).ok().body, []string{"currency_options", "tiers"}},
		{"price", h.get("/v1/prices/"+price, "expand[]", "currency_options").ok().body, []string{"tiers"}},
		{"event", h.lastEvent(), []string{"account", "context"}},
		{"webhook_endpoint", h.get("/v1/webhook_endpoints").ok().list()[0], []string{"secret"}},
		{
			"subscription", h.get("/v1/subscriptions").ok().list()[0],
			[]string{"managed_payments", "presentment_details"},
		},
		{
			"payment_link", h.get("/v1/payment_links", "expand[]", "data.line_items").ok().list()[0],
			[]string{"managed_payments", "name_collection", "optional_items", "payment_method_options"},
		},
	} {
		var document struct {
			Components struct {
				Schemas map[string]struct {
					Properties map[string]json.RawMessage `json:"properties"`
				} `json:"schemas"`
			} `json:"components"`
		}
		require.NoError(t, json.Unmarshal(embedded.OpenAPISpec, &document))
		for name := range document.Components.Schemas[c.schema].Properties {
			_, has := c.have[name]
			if want := !slices.Contains(c.absent, name); has != want {
				t.Errorf("%s.%s: shown %v, Stripe's %v", c.schema, name, has, want)
			}
		}
	}
}

// The check must be able to fail: each case is a right answer with one error.
func TestContractCheck_RejectsWrongAnswers(t *testing.T) {
	t.Parallel()
	h := start(t, stripesim.Config{})
	product := h.post("/v1/products", "name", "Lamp", "id", "lamp").ok().raw
	price := h.post("/v1/prices", "product", "lamp", "currency", "usd", "unit_amount", "100", "recurring[interval]",
		"month").ok().raw
	events := h.get("/v1/events").ok().raw
	refused := h.get("/v1/products/none").requireRefused(http.StatusNotFound, "resource_missing", "id",
		"No such product: 'none'").raw
	document, err := openAPI()
	require.NoError(t, err)

	for name, c := range map[string]struct {
		method, path string
		status       int
		body         []byte
		old, wrong   string
	}{
		"a number for a text": {
			http.MethodGet, "/v1/products/lamp", 200, product, `"name":"Lamp"`,
			`"name":7`,
		},
		"a null that is not nullable": {
			http.MethodGet, "/v1/products/lamp", 200, product, `"images":[]`,
			`"images":null`,
		},
		"an unknown field": {
			http.MethodGet, "/v1/products/lamp", 200, product, `"object":"product"`,
			`"object":"product","colour":"red"`,
		},
		"a wrong kind of object": {
			http.MethodGet, "/v1/products/lamp", 200, product, `"object":"product"`,
			`"object":"prod"`,
		},
		"a required field left out": {http.MethodGet, "/v1/products/lamp", 200, product, `"active":true,`, ``},
		"an amount as text": {
			http.MethodGet, "/v1/prices/price_1", 200, price, `"unit_amount":100`,
			`"unit_amount":"100"`,
		},
		"a decimal as number": {
			http.MethodGet, "/v1/prices/price_1", 200, price,
			`"unit_amount_decimal":"100"`, `"unit_amount_decimal":100`,
		},
		"an unknown interval": {
			http.MethodPost, "/v1/prices", 200, price, `"interval":"month"`,
			`"interval":"fortnight"`,
		},
		"a field of a nested object": {
			http.MethodPost, "/v1/prices", 200, price, `"usage_type":"licensed"`,
			`"usage":"licensed"`,
		},
		"a list of another address": {
			http.MethodGet, "/v1/events", 200, events, `"url":"/v1/events"`,
			`"url":"/v1/prices"`,
		},
		"an event's object gone wrong": {
			http.MethodGet, "/v1/events", 200, events,
			`"livemode":false,"metadata":{},"name"`, `"livemode":0,"metadata":{},"name"`,
		},
		"an event that shows tiers": {
			http.MethodGet, "/v1/events", 200, events, `"object":"price",`,
			`"object":"price","tiers":[],`,
		},
		"an unknown type of error": {
			http.MethodGet, "/v1/products/none", 404, refused,
			`"type":"invalid_request_error"`, `"type":"not_found"`,
		},
		"an operation that is not real": {
			http.MethodDelete, "/v1/prices/price_1", 200, price, `"object":"price"`,
			`"object":"price"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Contains(t, string(c.body), c.old)
			if c.old != c.wrong {
				require.NoError(t, document.check(c.method, c.path, c.status, c.body))
			}
			require.Error(t, document.check(c.method, c.path, c.status,
				[]byte(strings.Replace(string(c.body), c.old, c.wrong, 1))))
		})
	}
}
