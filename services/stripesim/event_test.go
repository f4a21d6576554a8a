package stripesim_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/stripesim"
)

func TestEvents_ShowWhatChanged(t *testing.T) {
	t.Parallel()
	c := newClock()
	h := start(t, stripesim.Config{Clock: c.now})
	h.create("/v1/products", "id", "lamp", "name", "Lamp", "metadata[keep]", "1", "metadata[change]", "2",
		"metadata[drop]", "3", "images[]", "https://example.com/1.png")
	e := h.lastEvent()
	require.Equal(t, "product.created", text(e, "type"))
	require.NotContains(t, e["data"], "previous_attributes")
	require.Equal(t, "2023-10-16", text(e, "api_version"))
	require.Regexp(t, "^evt_", text(e, "id"))

	c.advance(time.Second)
	p := h.ask(http.MethodPost, "/v1/products/lamp",
		form("name", "Lantern", "metadata[change]", "x", "metadata[drop]", "", "metadata[add]", "4", "images[0]",
			"https://example.com/2.png"),
		"Idempotency-Key", "driftless-1").ok()
	e = h.lastEvent()
	require.Equal(t, "product.updated", text(e, "type"))
	require.Equal(t, p.body, e["data"].(map[string]any)["object"])
	require.Equal(t, map[string]any{
		"name": "Lamp", "images": []any{"https://example.com/1.png"}, "updated": number("1790000000"),
		"metadata": map[string]any{"change": "2", "drop": "3", "add": nil},
	}, e["data"].(map[string]any)["previous_attributes"])
	require.Equal(t, map[string]any{"id": p.header.Get("Request-Id"), "idempotency_key": "driftless-1"}, e["request"])
	require.Equal(t, e, h.get("/v1/events/"+text(e, "id")).ok().body)

	h.post("/v1/products/lamp", "name", "Lantern").ok()
	require.Equal(t, []string{"product.created", "product.updated"}, h.events(), "an update without a change makes no event")

	h.ask(http.MethodDelete, "/v1/products/lamp", nil).ok()
	e = h.lastEvent()
	require.Equal(t, "product.deleted", text(e, "type"))
	object, _ := e["data"].(map[string]any)["object"].(map[string]any)
	require.Equal(t, false, object["active"])
	require.NotContains(t, object, "deleted")
}

func TestListEvents(t *testing.T) {
	t.Parallel()
	c := newClock()
	h := start(t, stripesim.Config{Clock: c.now})
	h.create("/v1/products", "id", "lamp", "name", "Lamp")
	first := text(h.lastEvent(), "id")
	c.advance(24 * time.Hour)
	price := h.create("/v1/prices", "product", "lamp", "currency", "usd", "unit_amount", "1")
	h.post("/v1/prices/"+price, "nickname", "n").ok()
	types := func(query ...string) string {
		var out []string
		for _, e := range h.get("/v1/events", query...).ok().list() {
			out = append(out, text(e, "type"))
		}
		return strings.Join(out, " ")
	}
	require.Equal(t, "price.updated price.created product.created", types())
	require.Equal(t, "price.updated price.created", types("type", "price.*"))
	require.Equal(t, "price.updated product.created",
		types("types[]", "price.updated", "types[]", "product.created", "types[]", "product.deleted"))
	require.Equal(t, "price.updated price.created", types("ending_before", first))
	require.Equal(t, "price.created", types("ending_before", first, "limit", "1"), "the next one")
	require.Equal(t, "product.created", types("created[lt]", "1790000001"))
	h.get("/v1/events", "type", "a.b", "types[]", "c.d").requireRefused(http.StatusBadRequest, "parameters_exclusive",
		"types",
		"only specify one")
	h.get("/v1/events/evt_none").requireRefused(http.StatusNotFound, "resource_missing", "id",
		"No such event: 'evt_none'")

	c.advance(29*24*time.Hour + time.Second)
	require.Equal(t, "price.updated price.created", types(), "at most thirty days back")
	h.get("/v1/events/"+first).requireRefused(http.StatusNotFound, "resource_missing", "id", "No such event")
}

func TestDashboard(t *testing.T) {
	t.Parallel()
	h := start(t, stripesim.Config{Limits: stripesim.Limits{PerSecond: 0.001}})
	d := h.sim.Dashboard()
	_, err := d.CreateProduct(form("id", "lamp", "name", "Lamp"))
	require.NoError(t, err)
	require.NoError(t, d.EditProduct("lamp", form("name", "Lantern")))
	price, err := d.CreatePrice(form("product", "lamp", "currency", "usd", "unit_amount", "1"), false)
	require.NoError(t, err)
	require.NoError(t, d.EditPrice(price, form("nickname", "n")))
	require.NoError(t, d.EditProduct("lamp", form("default_price", price)))
	require.ErrorContains(t, d.DeleteProduct("lamp", false), "one or more user-created prices")
	require.ErrorContains(t, d.DeletePrice(price), "default price of its product")
	require.ErrorContains(t, d.EditProduct("none", form("name", "x")), "No such product: 'none'")
	require.ErrorContains(t, d.EditPrice(price, form("unit_amount", "2")), "Received unknown parameter: unit_amount")
	require.NoError(t, d.EditProduct("lamp", form("default_price", "")))
	require.NoError(t, d.DeletePrice(price))
	require.NoError(t, d.DeleteProduct("lamp", false))

	h.sim.SetLimits(stripesim.Limits{Off: true})
	require.Equal(t, []string{
		"product.created", "product.updated", "price.created", "price.updated", "product.updated", "product.updated",
		"price.deleted", "product.deleted",
	}, h.events())
	for _, e := range h.get("/v1/events", "limit", "100").ok().list() {
		request, _ := e["request"].(map[string]any)
		require.Nil(t, request["idempotency_key"])
	}

	_, err = d.CreateProduct(form("id", "desk", "name", "Desk", "default_price_data[currency]", "usd",
		"default_price_data[unit_amount]", "1"))
	require.NoError(t, err)
	before := len(h.events())
	require.NoError(t, d.DeleteProduct("desk", true))
	require.Equal(t, []string{"product.updated", "price.deleted", "product.deleted"}, h.events()[before:])
	require.Empty(t, h.get("/v1/prices").ok().ids())
}
