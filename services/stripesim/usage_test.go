package stripesim_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/stripesim"
)

// recurringPrice makes a product with a monthly price, and returns the price's id.
func (h *harness) recurringPrice(product string) string {
	h.t.Helper()
	h.create("/v1/products", "id", product, "name", product)
	return h.create("/v1/prices", "product", product, "currency", "eur", "unit_amount", "900", "recurring[interval]",
		"month")
}

func (h *harness) subscribe(price, status string) string {
	h.t.Helper()
	id, err := h.admin.CreateSubscription(h.t.Context(), form("items[0][price]", price, "status", status))
	require.NoError(h.t, err)
	return id
}

func (h *harness) link(pairs ...string) string {
	h.t.Helper()
	id, err := h.admin.CreatePaymentLink(h.t.Context(), form(pairs...))
	require.NoError(h.t, err)
	return id
}

func TestListSubscriptions_FiltersByPriceAndStatus(t *testing.T) {
	t.Parallel()
	h := start(t, stripesim.Config{})
	gold, silver := h.recurringPrice("gold"), h.recurringPrice("silver")
	active, trialing := h.subscribe(gold, "active"), h.subscribe(gold, "trialing")
	unpaid, canceled := h.subscribe(gold, "unpaid"), h.subscribe(gold, "canceled")
	expired, other := h.subscribe(gold, "incomplete_expired"), h.subscribe(silver, "active")
	both, err := h.admin.CreateSubscription(t.Context(), form(
		"customer", "cus_mine", "items[0][price]", silver, "items[1][price]", gold, "items[1][quantity]", "3"))
	require.NoError(t, err)

	for query, want := range map[[2]string][]string{
		{"price", gold}:            {both, expired, unpaid, trialing, active},
		{"price", silver}:          {both, other},
		{"status", "active"}:       {both, other, active},
		{"status", "trialing"}:     {trialing},
		{"status", "canceled"}:     {canceled},
		{"status", "ended"}:        {expired, canceled},
		{"customer", "cus_mine"}:   {both},
		{"customer", "cus_none"}:   {},
		{"created[gt]", "9999999"}: {both, other, expired, unpaid, trialing, active},
		{"created[lt]", "9999999"}: {},

		{"current_period_end[lt]", "9999999"}:         {},
		{"collection_method", "send_invoice"}:         {},
		{"automatic_tax[enabled]", "true"}:            {},
		{"test_clock", "clock_1"}:                     {},
		{"collection_method", "charge_automatically"}: {both, other, expired, unpaid, trialing, active},
	} {
		require.Equal(t, want, h.get("/v1/subscriptions", query[0], query[1]).ok().ids(), "%v", query)
	}
	all := h.get("/v1/subscriptions", "status", "all", "price", gold).ok()
	require.Equal(t, []string{both, expired, canceled, unpaid, trialing, active}, all.ids())
	items := all.list()[0]["items"].(map[string]any)["data"].([]any)
	require.Equal(t, number("3"), items[1].(map[string]any)["quantity"])
	require.Equal(t, gold, text(items[1].(map[string]any), "price", "id"))

	h.get("/v1/subscriptions", "price", "price_none").requireRefused(http.StatusBadRequest, "resource_missing", "price",
		"No such price: 'price_none'")
	h.get("/v1/subscriptions", "status", "sleeping").requireRefused(http.StatusBadRequest, "", "status",
		"Invalid status")
}

func TestListSubscriptions_Pages(t *testing.T) {
	t.Parallel()
	h := start(t, stripesim.Config{})
	gold := h.recurringPrice("gold")
	var made []string
	for range 12 {
		made = append([]string{h.subscribe(gold, "active")}, made...)
	}
	first := h.get("/v1/subscriptions", "price", gold).ok()
	require.Equal(t, made[:10], first.ids(), "ten is Stripe's default")
	require.Equal(t, true, first.at("has_more"))
	rest := h.get("/v1/subscriptions", "price", gold, "starting_after", made[9]).ok()
	require.Equal(t, made[10:], rest.ids())
	require.Equal(t, false, rest.at("has_more"))
}

func TestListPaymentLinks_ExpandsLineItems(t *testing.T) {
	t.Parallel()
	h := start(t, stripesim.Config{})
	gold, silver := h.recurringPrice("gold"), h.recurringPrice("silver")
	one := h.link("line_items[0][price]", gold, "line_items[0][quantity]", "2", "line_items[1][price]", silver)
	off := h.link("line_items[0][price]", gold)
	require.NoError(t, h.admin.EditPaymentLink(t.Context(), off, form("active", "false")))

	plain := h.get("/v1/payment_links").ok()
	require.Equal(t, []string{off, one}, plain.ids())
	require.NotContains(t, plain.list()[0], "line_items", "only an expansion shows them")
	require.Equal(t, []string{off}, h.get("/v1/payment_links", "active", "false").ok().ids())
	active := h.get("/v1/payment_links", "active", "true", "expand[]", "data.line_items").ok()
	require.Equal(t, []string{one}, active.ids())
	items := active.list()[0]["line_items"].(map[string]any)
	require.Equal(t, false, items["has_more"])
	data := items["data"].([]any)
	require.Equal(t, gold, text(data[0].(map[string]any), "price", "id"))
	require.Equal(t, number("1800"), data[0].(map[string]any)["amount_total"])
	require.Equal(t, silver, text(data[1].(map[string]any), "price", "id"))

	var many []string
	for i := range 12 {
		many = append(many, fmt.Sprintf("line_items[%d][price]", i), gold)
	}
	h.link(many...)
	items = h.get("/v1/payment_links", "limit", "1", "expand[]",
		"data.line_items").ok().list()[0]["line_items"].(map[string]any)
	require.Len(t, items["data"], 10, "an expanded list has the first ten")
	require.Equal(t, true, items["has_more"])
	h.get("/v1/payment_links", "expand[]", "data.price").requireRefused(http.StatusBadRequest, "", "expand[0]",
		"This property cannot be expanded (data.price)")
}

func TestUses_NeedActivePrices(t *testing.T) {
	t.Parallel()
	h := start(t, stripesim.Config{})
	gold := h.recurringPrice("gold")
	once := h.create("/v1/prices", "product", "gold", "currency", "eur", "unit_amount", "900")
	h.post("/v1/prices/"+once, "active", "false").ok()
	for _, c := range []struct{ price, words string }{
		{"price_none", "No such price: 'price_none'"},
		{once, "The price specified is inactive"},
	} {
		_, err := h.admin.CreateSubscription(t.Context(), form("items[0][price]", c.price))
		require.ErrorContains(t, err, c.words)
		_, err = h.admin.CreatePaymentLink(t.Context(), form("line_items[0][price]", c.price))
		require.ErrorContains(t, err, c.words)
	}
	h.post("/v1/prices/"+once, "active", "true").ok()
	_, err := h.admin.CreateSubscription(t.Context(), form("items[0][price]", once))
	require.ErrorContains(t, err, "only accepts prices with `type=recurring`")
	_, err = h.admin.CreateSubscription(t.Context(), form("items[0][price]", gold, "status", "sleeping"))
	require.ErrorContains(t, err, "status")
	require.Error(t, h.admin.EditSubscription(t.Context(), "sub_none", form("status", "active")))

	h.subscribe(gold, "active")
	require.ErrorContains(t, h.admin.DeletePrice(t.Context(), gold), "has been used")
	require.ErrorContains(t, h.admin.DeleteProduct(t.Context(), "gold", true), "has been used")
}

func TestUses_RestrictedKeyNeedsTheirPermissions(t *testing.T) {
	t.Parallel()
	h := start(t, stripesim.Config{})
	for path, permission := range map[string]string{
		"/v1/subscriptions": "rak_subscription_read", "/v1/payment_links": "rak_payment_links_read",
	} {
		_, err := h.admin.AddFault(t.Context(), stripesim.Fault{Kind: "forbidden", Path: path})
		require.NoError(t, err)
		h.get(path).requireRefused(http.StatusForbidden, "", "", permission)
	}
}

func TestUses_SurviveARestart(t *testing.T) {
	t.Parallel()
	cfg := stripesim.Config{DataFile: filepath.Join(t.TempDir(), "sim.json"), Limits: stripesim.Limits{Off: true}}
	sim, err := stripesim.New(cfg)
	require.NoError(t, err)
	d := sim.Dashboard()
	_, err = d.CreateProduct(form("id", "gold", "name", "Gold"))
	require.NoError(t, err)
	price, err := d.CreatePrice(form("product", "gold", "currency", "eur", "unit_amount", "1", "recurring[interval]",
		"day"), false)
	require.NoError(t, err)
	subscription, err := d.CreateSubscription(form("items[0][price]", price))
	require.NoError(t, err)
	require.NoError(t, d.EditSubscription(subscription, form("status", "past_due")))
	link, err := d.CreatePaymentLink(form("line_items[0][price]", price))
	require.NoError(t, err)
	require.NoError(t, sim.Close())

	// The first start reads what was appended, the second what the first has compacted.
	for range 2 {
		sim, err = stripesim.New(cfg)
		require.NoError(t, err)
		require.NoError(t, sim.Close())
	}
	sim, err = stripesim.New(cfg)
	require.NoError(t, err)
	h := serve(t, sim)
	require.Equal(t, []string{subscription}, h.get("/v1/subscriptions", "status", "past_due").ok().ids())
	require.Equal(t, []string{link}, h.get("/v1/payment_links").ok().ids())
}
