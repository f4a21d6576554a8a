package stripesim_test

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/stripesim"
)

func TestCreateProduct_KeepsEveryField(t *testing.T) {
	t.Parallel()
	h := start(t, stripesim.Config{})
	p := h.post("/v1/products",
		"id", "lamp", "name", "Lamp & shade", "description", "Läuft", "active", "false", "images[]",
		"https://example.com/1.png", "images[]", "https://example.com/2.png",
		"features[0][name]", "Warm", "features[1][name]", "Bright", "metadata[colour]", "red", "metadata[empty]", "",
		"package_dimensions[height]", "1.5", "package_dimensions[length]", "2", "package_dimensions[weight]", "0.25",
		"package_dimensions[width]", "3.10",
		"shippable", "true", "statement_descriptor", "Lämp shop", "tax_code", "txcd_10000000", "unit_label", "piece",
		"url", "https://example.com/lamp",
	).ok()
	var got map[string]any
	require.NoError(t, json.Unmarshal(p.raw, &got))
	require.Equal(t, got["created"], got["updated"])
	delete(got, "created")
	delete(got, "updated")
	require.Equal(t, map[string]any{
		"id": "lamp", "object": "product", "active": false, "default_price": nil, "description": "Läuft",
		"features": []any{map[string]any{"name": "Warm"}, map[string]any{"name": "Bright"}},
		"images":   []any{"https://example.com/1.png", "https://example.com/2.png"}, "livemode": false,
		"metadata": map[string]any{"colour": "red"}, "name": "Lamp & shade",
		"package_dimensions": map[string]any{"height": 1.5, "length": 2.0, "weight": 0.25, "width": 3.1},
		"shippable":          true, "statement_descriptor": "LMP SHOP", "tax_code": "txcd_10000000", "type": "service",
		"unit_label": "piece", "url": "https://example.com/lamp",
	}, got)
	require.JSONEq(t, string(p.raw), string(h.get("/v1/products/lamp").ok().raw))
}

func TestCreateProduct_WithNameOnly(t *testing.T) {
	t.Parallel()
	h := start(t, stripesim.Config{})
	p := h.post("/v1/products", "name", "Lamp").ok()
	require.Regexp(t, `^prod_[0-9A-Za-z]{14}$`, p.text("id"))
	require.Equal(t, true, p.at("active"))
	for _, name := range []string{
		"default_price", "description", "package_dimensions", "shippable",
		"statement_descriptor", "tax_code", "unit_label", "url",
	} {
		require.Contains(t, p.body, name)
		require.Nil(t, p.at(name), name)
	}
	require.Empty(t, p.at("images"))
	require.Empty(t, p.at("metadata"))
}

func TestProduct_Refusals(t *testing.T) {
	t.Parallel()
	h := start(t, stripesim.Config{})
	h.create("/v1/products", "id", "lamp", "name", "Lamp")
	h.create("/v1/products", "id", "mug", "name", "Mug")
	other := h.create("/v1/prices", "product", "mug", "currency", "usd", "unit_amount", "1")
	archived := h.create("/v1/prices", "product", "lamp", "currency", "usd", "unit_amount", "1", "active", "false")
	repeat := func(n int, pair ...string) []string {
		var out []string
		for i := range n {
			for _, s := range pair {
				out = append(out, strings.ReplaceAll(s, "#", strconv.Itoa(i)))
			}
		}
		return out
	}
	for name, c := range map[string]struct {
		path               string
		pairs              []string
		code, param, words string
	}{
		"no name": {
			"/v1/products",
			[]string{"id", "x"},
			"parameter_missing", "name",
			"Missing required param: name.",
		},
		"empty name": {
			"/v1/products/lamp",
			[]string{"name", ""},
			"parameter_invalid_empty", "name",
			"cannot be unset",
		},
		"id in use": {
			"/v1/products",
			[]string{"id", "lamp", "name", "x"},
			"resource_already_exists",
			"id", "already exists",
		},
		"changed id": {
			"/v1/products/lamp",
			[]string{"id", "lantern"},
			"parameter_unknown", "id",
			"unknown parameter: id",
		},
		"unknown parameter": {
			"/v1/products",
			[]string{"name", "x", "colour", "red"},
			"parameter_unknown",
			"colour", "unknown parameter: colour",
		},
		"newer parameter": {
			"/v1/products",
			[]string{"name", "x", "marketing_features[0][name]", "y"},
			"parameter_unknown", "marketing_features", "marketing_features",
		},
		"price of an update": {
			"/v1/products/lamp",
			[]string{"default_price_data[currency]", "usd"},
			"parameter_unknown", "default_price_data", "default_price_data",
		},
		"default price at once": {
			"/v1/products",
			[]string{"name", "x", "default_price", "price_1"},
			"parameter_unknown", "default_price", "default_price",
		},
		"lookup key of a default": {
			"/v1/products",
			[]string{"name", "x", "default_price_data[currency]", "usd", "default_price_data[lookup_key]", "k"},
			"parameter_unknown", "default_price_data[lookup_key]", "lookup_key",
		},
		"its metadata, too early": {
			"/v1/products",
			[]string{"name", "x", "default_price_data[currency]", "usd", "default_price_data[metadata][k]", "v"},
			"parameter_unknown", "default_price_data[metadata]", "metadata",
		},
		"long name": {
			"/v1/products",
			[]string{"name", strings.Repeat("ä", 5001)},
			"", "name",
			"at most 5000 characters",
		},
		"long description": {
			"/v1/products/lamp",
			[]string{"description", strings.Repeat("x", 40001)},
			"",
			"description", "at most 40000 characters",
		},
		"long unit label": {
			"/v1/products/lamp",
			[]string{"unit_label", "thirteen char"},
			"", "unit_label",
			"at most 12 characters",
		},
		"nine images": {
			"/v1/products/lamp", repeat(9, "images[]", "https://example.com/#"), "", "images",
			"at most 8",
		},
		"sixteen features": {
			"/v1/products/lamp", repeat(16, "features[#][name]", "f#"), "", "features",
			"at most 15",
		},
		"long feature": {
			"/v1/products/lamp",
			[]string{"features[0][name]", strings.Repeat("x", 81)},
			"",
			"features[0][name]", "at most 80 characters",
		},
		"fifty-one metadata keys": {
			"/v1/products/lamp", repeat(51, "metadata[k#]", "v"), "", "metadata",
			"up to 50 metadata keys",
		},
		"long metadata key": {
			"/v1/products/lamp",
			[]string{"metadata[" + strings.Repeat("k", 41) + "]", "v"},
			"",
			"metadata", "up to 40 characters",
		},
		"long metadata value": {
			"/v1/products/lamp",
			[]string{"metadata[k]", strings.Repeat("v", 501)},
			"",
			"metadata[k]", "up to 500 characters",
		},
		"metadata in metadata": {
			"/v1/products/lamp",
			[]string{"metadata[k][l]", "v"},
			"", "metadata[k]",
			"Invalid string",
		},
		"long descriptor": {
			"/v1/products/lamp",
			[]string{"statement_descriptor", strings.Repeat("x", 23)},
			"",
			"statement_descriptor", "at most 22 characters",
		},
		"forbidden in descriptor": {
			"/v1/products/lamp",
			[]string{"statement_descriptor", "a<b"},
			"",
			"statement_descriptor", "must not contain",
		},
		"descriptor of digits": {
			"/v1/products/lamp",
			[]string{"statement_descriptor", "123"},
			"",
			"statement_descriptor", "at least one letter",
		},
		"incomplete dimensions": {
			"/v1/products/lamp",
			[]string{"package_dimensions[height]", "1"},
			"parameter_missing", "package_dimensions[length]", "package_dimensions[length]",
		},
		"fine dimensions": {
			"/v1/products/lamp",
			[]string{"package_dimensions[height]", "1.001"},
			"",
			"package_dimensions[height]", "2 decimal places",
		},
		"no boolean": {
			"/v1/products/lamp",
			[]string{"active", "yes"},
			"", "active",
			"Invalid boolean: yes",
		},
		"no address": {
			"/v1/products/lamp",
			[]string{"url", "lamp"},
			"url_invalid", "url",
			"Not a valid URL",
		},
		"unknown tax code": {
			"/v1/products/lamp",
			[]string{"tax_code", "txcd_1"},
			"resource_missing", "tax_code",
			"No such tax code",
		},
		"unknown default price": {
			"/v1/products/lamp",
			[]string{"default_price", "price_none"},
			"resource_missing",
			"default_price", "No such price: 'price_none'",
		},
		"another's default price": {
			"/v1/products/lamp",
			[]string{"default_price", other},
			"", "default_price",
			"belongs to the product mug",
		},
		"archived default price": {
			"/v1/products/lamp",
			[]string{"default_price", archived},
			"", "default_price",
			"inactive",
		},
		"shippable unset": {
			"/v1/products/lamp",
			[]string{"shippable", ""},
			"parameter_invalid_empty",
			"shippable", "cannot be unset",
		},
		"wrong expansion": {
			"/v1/products/lamp",
			[]string{"expand[]", "tiers"},
			"", "expand[0]",
			"cannot be expanded (tiers)",
		},
	} {
		t.Log(name)
		h.post(c.path, c.pairs...).requireRefused(http.StatusBadRequest, c.code, c.param, c.words)
	}
	require.Len(t, h.events(), 4, "refused requests make no events")
}

func TestUpdateProduct_ChangesFieldByField(t *testing.T) {
	t.Parallel()
	clock := newClock()
	h := start(t, stripesim.Config{Clock: clock.now})
	created := h.post("/v1/products", "id", "lamp", "name", "Lamp", "description", "Bright", "metadata[a]", "1",
		"metadata[b]", "2",
		"images[]", "https://example.com/1.png", "features[0][name]", "Warm", "tax_code", "txcd_10000000", "url",
		"https://example.com", "unit_label", "piece",
		"statement_descriptor", "lamps").ok()
	clock.advance(7_000_000_000)

	p := h.post("/v1/products/lamp", "name", "Lantern", "metadata[a]", "", "metadata[c]", "3").ok()
	require.Equal(t, "Lantern", p.at("name"))
	require.Equal(t, "Bright", p.at("description"), "fields that are not sent stay")
	require.Equal(t, map[string]any{"b": "2", "c": "3"}, p.at("metadata"),
		"metadata is merged, an empty value removes a key")
	require.Equal(t, created.at("created"), p.at("created"))
	require.NotEqual(t, created.at("updated"), p.at("updated"))

	e := h.lastEvent()
	require.Equal(t, "product.updated", e["type"])
	data, _ := e["data"].(map[string]any)
	require.Equal(t, map[string]any{
		"name": "Lamp", "metadata": map[string]any{"a": "1", "c": nil}, "updated": created.at("updated"),
	}, data["previous_attributes"])

	p = h.post("/v1/products/lamp", "description", "", "images", "", "features", "", "metadata", "", "tax_code", "",
		"url", "", "unit_label", "",
		"statement_descriptor", "").ok()
	for _, name := range []string{"description", "tax_code", "url", "unit_label", "statement_descriptor"} {
		require.Nil(t, p.at(name), name)
	}
	for _, name := range []string{"images", "features", "metadata"} {
		require.Empty(t, p.at(name), name)
	}

	count := len(h.events())
	h.post("/v1/products/lamp").ok()
	again := h.post("/v1/products/lamp", "name", "Lantern", "metadata[none]", "").ok()
	require.Len(t, h.events(), count, "no event when nothing changes")
	require.Equal(t, p.at("updated"), again.at("updated"))
}

func TestProduct_DefaultPrice(t *testing.T) {
	t.Parallel()
	h := start(t, stripesim.Config{})
	p := h.post("/v1/products", "id", "lamp", "name", "Lamp", "default_price_data[currency]", "EUR",
		"default_price_data[unit_amount_decimal]", "12.5",
		"default_price_data[recurring][interval]", "month", "expand[]", "default_price").ok()
	require.Equal(t, "eur", p.text("default_price", "currency"))
	require.Equal(t, "12.5", p.text("default_price", "unit_amount_decimal"))
	require.Equal(t, []string{"product.created", "price.created"}, h.events())

	first := p.text("default_price", "id")
	h.post("/v1/prices/"+first, "active", "false").requireRefused(http.StatusBadRequest, "", "active",
		"default price of its product")
	second := h.create("/v1/prices", "product", "lamp", "currency", "eur", "unit_amount", "1300")
	require.Equal(t, second, h.post("/v1/products/lamp", "default_price", second).ok().text("default_price"))
	h.post("/v1/prices/"+first, "active", "false").ok()
	require.Nil(t, h.post("/v1/products/lamp", "default_price", "").ok().at("default_price"))
	h.post("/v1/prices/"+second, "active", "false").ok()
	require.Equal(t, true, h.get("/v1/products/lamp").ok().at("active"))

	h.ask(http.MethodDelete, "/v1/products/lamp", nil).requireRefused(http.StatusBadRequest, "", "",
		"one or more user-created prices")
}

func TestDeleteProduct(t *testing.T) {
	t.Parallel()
	h := start(t, stripesim.Config{})
	h.create("/v1/products", "id", "lamp", "name", "Lamp")
	require.Equal(t, map[string]any{"id": "lamp", "object": "product", "deleted": true},
		h.ask(http.MethodDelete, "/v1/products/lamp", nil).ok().body)
	h.get("/v1/products/lamp").requireRefused(http.StatusNotFound, "resource_missing", "id", "No such product: 'lamp'")
	h.post("/v1/products/lamp", "name", "x").requireRefused(http.StatusNotFound, "resource_missing", "id",
		"No such product")
	e := h.lastEvent()
	require.Equal(t, "product.deleted", e["type"])
	require.Equal(t, "Lamp", text(e, "data", "object", "name"))
	object, _ := e["data"].(map[string]any)["object"].(map[string]any)
	require.Equal(t, false, object["active"])
	require.NotContains(t, object, "deleted")
	h.create("/v1/products", "id", "lamp", "name", "Lamp again")

	strict := start(t, stripesim.Config{RefuseDeletedIDs: true})
	strict.create("/v1/products", "id", "lamp", "name", "Lamp")
	strict.ask(http.MethodDelete, "/v1/products/lamp", nil).ok()
	strict.post("/v1/products", "id", "lamp", "name", "Lamp").requireRefused(http.StatusBadRequest,
		"resource_already_exists",
		"id", "already exists")
}

func TestProduct_FeaturesHaveTwoNames(t *testing.T) {
	t.Parallel()
	h := start(t, stripesim.Config{})
	const newer = "2024-04-10"
	h.create("/v1/products", "id", "lamp", "name", "Lamp", "features[0][name]", "Warm")
	p := h.ask(http.MethodGet, "/v1/products/lamp", nil, "Stripe-Version", newer).ok()
	require.NotContains(t, p.body, "features")
	require.NotContains(t, p.body, "type")
	require.Equal(t, []any{map[string]any{"name": "Warm"}}, p.at("marketing_features"))
	require.Equal(t, newer, p.header.Get("Stripe-Version"))
	h.ask(http.MethodPost, "/v1/products/lamp", form("features[0][name]", "Hot"), "Stripe-Version", newer).
		requireRefused(http.StatusBadRequest, "parameter_unknown", "features", "features")
	h.ask(http.MethodPost, "/v1/products/lamp", form("marketing_features[0][name]", "Hot"), "Stripe-Version",
		newer).ok()
	old := h.get("/v1/products/lamp").ok()
	require.NotContains(t, old.body, "marketing_features")
	require.Equal(t, []any{map[string]any{"name": "Hot"}}, old.at("features"))
	require.Equal(t, "2023-10-16", old.header.Get("Stripe-Version"))

	object, _ := h.lastEvent()["data"].(map[string]any)["object"].(map[string]any)
	require.Contains(t, object, "features", "events are rendered in the version of the account")
}

func TestDocumentedClearsOnly(t *testing.T) {
	t.Parallel()
	h := start(t, stripesim.Config{DocumentedClearsOnly: true})
	h.create("/v1/products", "id", "lamp", "name", "Lamp", "description", "x")
	h.post("/v1/products/lamp", "default_price", "").requireRefused(http.StatusBadRequest, "parameter_invalid_empty",
		"default_price", "cannot be unset")
	require.Nil(t, h.post("/v1/products/lamp", "description", "").ok().at("description"))
}

func TestOnUndocumented_CountsWhatAStrictSimulatorRefuses(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	h := start(t, stripesim.Config{OnUndocumented: func() { calls.Add(1) }})
	h.create("/v1/products", "id", "lamp", "name", "Lamp", "description", "x")
	h.post("/v1/products/lamp", "description", "").ok()
	h.post("/v1/products/lamp", "default_price", "missing").requireRefused(http.StatusBadRequest, "resource_missing",
		"default_price", "")
	require.Zero(t, calls.Load(), "documented, or refused by both")
	h.post("/v1/products/lamp", "default_price", "").ok()
	require.EqualValues(t, 1, calls.Load())
	h.ask(http.MethodDelete, "/v1/products/lamp", nil).ok()
	h.create("/v1/products", "id", "lamp", "name", "Lamp")
	require.EqualValues(t, 2, calls.Load())
}

func TestCreateProduct_RefusesIDsThatStripeRefuses(t *testing.T) {
	t.Parallel()
	h := start(t, stripesim.Config{})
	for _, id := range []string{"a/b", "a b", "a.b", "é", "a:b"} {
		h.post("/v1/products", "id", id, "name", "Lamp").requireRefused(http.StatusBadRequest, "", "id",
			"Only letters, digits, underscores and hyphens")
	}
	h.post("/v1/products", "id", "A-z_9", "name", "Lamp").ok()
}
