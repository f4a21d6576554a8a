package stripesim_test

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/driftless-sync/driftless/services/stripesim"
)

func TestList_IsLatestFirst(t *testing.T) {
	t.Parallel()
	h := start(t, stripesim.Config{})
	for i := range 12 {
		h.create("/v1/products", "id", "p"+strconv.Itoa(i), "name", "x")
	}
	page := h.get("/v1/products").ok()
	require.Equal(t, []string{"p11", "p10", "p9", "p8", "p7", "p6", "p5", "p4", "p3", "p2"}, page.ids(),
		"ten, unless told otherwise")
	require.Equal(t, true, page.at("has_more"))
	require.Equal(t, "/v1/products", page.text("url"))
	page = h.get("/v1/products", "starting_after", "p2").ok()
	require.Equal(t, []string{"p1", "p0"}, page.ids())
	require.Equal(t, false, page.at("has_more"))
	page = h.get("/v1/products", "ending_before", "p5", "limit", "3").ok()
	require.Equal(t, []string{"p8", "p7", "p6"}, page.ids(), "the nearest later ones, latest first")
	require.Equal(t, true, page.at("has_more"))
	require.Equal(t, []string{"p11", "p10"}, h.get("/v1/products", "ending_before", "p9").ok().ids())

	h.get("/v1/products", "limit", "0").requireRefused(http.StatusBadRequest, "parameter_invalid_integer", "limit",
		"greater than or equal to 1")
	h.get("/v1/products", "limit", "101").requireRefused(http.StatusBadRequest, "parameter_invalid_integer", "limit",
		"less than or equal to 100")
	h.get("/v1/products", "starting_after", "p1", "ending_before", "p2").requireRefused(http.StatusBadRequest,
		"parameters_exclusive", "ending_before", "only specify one")
	h.get("/v1/products", "starting_after", "none").requireRefused(http.StatusBadRequest, "resource_missing",
		"starting_after",
		"No such product: 'none'")

	h.ask(http.MethodDelete, "/v1/products/p5", nil).ok()
	require.Equal(t, []string{"p4", "p3"}, h.get("/v1/products", "starting_after", "p5", "limit", "2").ok().ids(),
		"a scan goes on from an object that was deleted meanwhile")
}

func TestListProducts_Filters(t *testing.T) {
	t.Parallel()
	c := newClock()
	h := start(t, stripesim.Config{Clock: c.now})
	at := c.now().Unix()
	h.create("/v1/products", "id", "a", "name", "x", "shippable", "true")
	c.advance(10 * time.Second)
	h.create("/v1/products", "id", "b", "name", "x", "active", "false", "shippable", "false")
	c.advance(10 * time.Second)
	h.create("/v1/products", "id", "c", "name", "x", "url", "https://example.com/c")
	for _, c := range []struct {
		query []string
		want  []string
	}{
		{nil, []string{"c", "b", "a"}},
		{[]string{"active", "true"}, []string{"c", "a"}},
		{[]string{"active", "false"}, []string{"b"}},
		{[]string{"shippable", "false"}, []string{"b"}},
		{[]string{"url", "https://example.com/c"}, []string{"c"}},
		{[]string{"ids[]", "a", "ids[]", "none", "ids[]", "c"}, []string{"c", "a"}},
		{[]string{"ids[0]", "b", "active", "true"}, []string{}},
		{[]string{"created", strconv.FormatInt(at+10, 10)}, []string{"b"}},
		{[]string{"created[gte]", strconv.FormatInt(at+10, 10)}, []string{"c", "b"}},
		{
			[]string{"created[gt]", strconv.FormatInt(at, 10), "created[lt]", strconv.FormatInt(at+20, 10)},
			[]string{"b"},
		},
		{[]string{"created[lte]", strconv.FormatInt(at+10, 10), "limit", "1"}, []string{"b"}},
	} {
		require.Equal(t, c.want, h.get("/v1/products", c.query...).ok().ids(), "%v", c.query)
	}
	h.get("/v1/products", "ids[]", "a", "starting_after", "b").requireRefused(http.StatusBadRequest,
		"parameters_exclusive",
		"ids", "together")
	h.get("/v1/products", "updated[gte]", "1").requireRefused(http.StatusBadRequest, "parameter_unknown", "updated",
		"unknown")
}

func TestListPrices_Filters(t *testing.T) {
	t.Parallel()
	h := startWithLamp(t)
	h.create("/v1/products", "id", "desk", "name", "Desk")
	once := h.create("/v1/prices", "product", "lamp", "currency", "usd", "unit_amount", "1", "lookup_key", "once")
	monthly := h.create("/v1/prices", "product", "lamp", "currency", "eur", "unit_amount", "1", "recurring[interval]",
		"month", "lookup_key", "monthly")
	metered := h.create("/v1/prices", "product", "desk", "currency", "usd", "unit_amount", "1", "recurring[interval]",
		"year", "recurring[usage_type]", "metered", "recurring[meter]", "mtr_1")
	archived := h.create("/v1/prices", "product", "lamp", "currency", "usd", "unit_amount", "1", "active", "false",
		"lookup_key", "old")
	inline, err := h.sim.Dashboard().CreatePrice(form("product", "lamp", "currency", "usd", "unit_amount", "5"), true)
	require.NoError(t, err)
	for _, c := range []struct {
		query []string
		want  []string
	}{
		{nil, []string{metered, monthly, once}},
		{[]string{"active", "true"}, []string{metered, monthly, once}},
		{[]string{"active", "false"}, []string{archived}},
		{[]string{"product", "lamp"}, []string{monthly, once}},
		{[]string{"product", "lamp", "active", "false"}, []string{archived}},
		{[]string{"product", "none"}, []string{}},
		{[]string{"currency", "usd"}, []string{metered, once}},
		{[]string{"type", "one_time"}, []string{once}},
		{[]string{"type", "recurring", "limit", "1"}, []string{metered}},
		{[]string{"recurring[interval]", "month"}, []string{monthly}},
		{[]string{"recurring[usage_type]", "metered"}, []string{metered}},
		{[]string{"recurring[meter]", "mtr_1"}, []string{metered}},
		{
			[]string{"lookup_keys[]", "once", "lookup_keys[]", "monthly", "lookup_keys[]", "old"},
			[]string{monthly, once},
		},
		{[]string{"lookup_keys[]", "once", "product", "desk"}, []string{}},
		{[]string{"product", "lamp", "starting_after", monthly}, []string{once}},
		{[]string{"product", "lamp", "starting_after", metered}, []string{monthly, once}},
		{[]string{"product", "lamp", "ending_before", once}, []string{monthly}},
		{[]string{"product", "desk", "ending_before", once}, []string{metered}},
	} {
		require.Equal(t, c.want, h.get("/v1/prices", c.query...).ok().ids(), "%v", c.query)
	}
	require.Equal(t, inline, h.get("/v1/prices/"+inline).ok().text("id"),
		"no list shows an inline price, but it is there")
	var keys []string
	for i := range 11 {
		keys = append(keys, "lookup_keys[]", strconv.Itoa(i))
	}
	h.get("/v1/prices", keys...).requireRefused(http.StatusBadRequest, "", "lookup_keys", "at most 10")
	h.get("/v1/prices", "ids[]", "x").requireRefused(http.StatusBadRequest, "parameter_unknown", "ids", "unknown")

	h = start(t, stripesim.Config{UnfilteredInactivePrices: true})
	h.create("/v1/products", "id", "lamp", "name", "Lamp")
	archived = h.create("/v1/prices", "product", "lamp", "currency", "usd", "unit_amount", "1", "active", "false")
	require.Equal(t, []string{archived}, h.get("/v1/prices").ok().ids())
}

func TestExpansion(t *testing.T) {
	t.Parallel()
	h := start(t, stripesim.Config{})
	h.create("/v1/products", "id", "lamp", "name", "Lamp", "tax_code", "txcd_10000000", "default_price_data[currency]",
		"usd", "default_price_data[unit_amount]", "1")
	p := h.get("/v1/products", "expand[]", "data.default_price.product.default_price", "expand[]",
		"data.tax_code").ok().list()[0]
	require.Equal(t, "price", text(p, "default_price", "product", "default_price", "object"))
	require.Equal(t, "txcd_10000000", text(p, "tax_code", "id"))
	h.get("/v1/products/lamp", "expand[]", "prices").requireRefused(http.StatusBadRequest, "", "expand[0]",
		"This property cannot be expanded (prices)")
	h.get("/v1/products", "expand[]", "default_price").requireRefused(http.StatusBadRequest, "", "expand[0]",
		"'data.default_price'")
	h.get("/v1/products/lamp", "expand[]", "default_price.product.default_price.product.default_price").requireRefused(
		http.StatusBadRequest, "", "expand[0]", "more than 4 levels")
	h.get("/v1/events", "expand[]", "data.data").requireRefused(http.StatusBadRequest, "", "expand[0]",
		"cannot be expanded")
}

// Whatever the page size and direction, every object appears once and in order.
func TestList_PagesShowEveryObjectOnce(t *testing.T) {
	t.Parallel()
	h := start(t, stripesim.Config{})
	h.create("/v1/products", "id", "lamp", "name", "Lamp")
	h.create("/v1/products", "id", "desk", "name", "Desk")
	for i := range 40 {
		product := []string{"lamp", "desk"}[i*i%3%2]
		h.create("/v1/prices", "product", product, "currency", "usd", "unit_amount", "1", "active",
			strconv.FormatBool(i%5 != 0))
	}
	rapid.Check(t, func(r *rapid.T) {
		query := []string{"active", strconv.FormatBool(rapid.Bool().Draw(r, "active"))}
		if product := rapid.SampledFrom([]string{"", "lamp", "desk"}).Draw(r, "product"); product != "" {
			query = append(query, "product", product)
		}
		all := h.get("/v1/prices", append(query, "limit", "100")...).ok().ids()
		require.NotEmpty(r, all)
		limit := strconv.Itoa(rapid.IntRange(1, 9).Draw(r, "limit"))
		forwards, backwards := all[:1:1], all[len(all)-1:]
		for more := true; more; {
			page := h.get("/v1/prices",
				append(query, "limit", limit, "starting_after", forwards[len(forwards)-1])...).ok()
			forwards, more = append(forwards, page.ids()...), page.at("has_more") == true
		}
		for more := true; more; {
			page := h.get("/v1/prices", append(query, "limit", limit, "ending_before", backwards[0])...).ok()
			backwards, more = slices.Concat(page.ids(), backwards), page.at("has_more") == true
		}
		require.Equal(r, all, forwards)
		require.Equal(r, all, backwards)
	})
}

// The test compares every bound with a search through all objects.
func TestList_CreatedRangesWithAnyClock(t *testing.T) {
	t.Parallel()
	for name, times := range map[string][]int64{
		"in order":           {10, 10, 11, 15, 15, 15, 20},
		"the clock set back": {10, 20, 15, 15, 30, 5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var now atomic.Int64
			h := start(t, stripesim.Config{
				Clock:  func() time.Time { return time.Unix(now.Load(), 0) },
				Limits: stripesim.Limits{Off: true},
			})
			for i, at := range times {
				now.Store(at)
				h.create("/v1/products", "name", "P", "id", fmt.Sprint("p", i))
			}
			h.ask(http.MethodDelete, "/v1/products/p2", nil).ok()
			for bound, holds := range map[string]func(created, at int64) bool{
				"created[gte]": func(c, at int64) bool { return c >= at },
				"created[gt]":  func(c, at int64) bool { return c > at },
				"created[lte]": func(c, at int64) bool { return c <= at },
				"created[lt]":  func(c, at int64) bool { return c < at },
				"created":      func(c, at int64) bool { return c == at },
			} {
				for at := int64(4); at < 32; at++ {
					var want []string
					for i, made := range slices.Backward(times) {
						if i != 2 && holds(made, at) {
							want = append(want, fmt.Sprint("p", i))
						}
					}
					var got []string
					after := ""
					for {
						params := []string{bound, fmt.Sprint(at), "limit", "2"}
						if after != "" {
							params = append(params, "starting_after", after)
						}
						answer := h.get("/v1/products", params...).ok()
						for _, p := range answer.list() {
							after = fmt.Sprint(p["id"])
							got = append(got, after)
						}
						if answer.at("has_more") != true {
							break
						}
					}
					require.Equal(t, want, got, "%s %d", bound, at)
				}
			}
		})
	}
}
