package stripesim_test

import (
	"net/http"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/stripesim"
)

func startWithLamp(t *testing.T) *harness {
	t.Helper()
	h := start(t, stripesim.Config{})
	h.create("/v1/products", "id", "lamp", "name", "Lamp")
	return h
}

func TestPrice_Amounts(t *testing.T) {
	t.Parallel()
	h := startWithLamp(t)
	for _, c := range []struct {
		name, value      string
		whole, fractions any
	}{
		{"unit_amount", "1250", number("1250"), "1250"},
		{"unit_amount", "0", number("0"), "0"},
		{
			"unit_amount", "9007199254740993", number("9007199254740993"),
			"9007199254740993",
		}, // a float cannot represent it
		{"unit_amount_decimal", "1250", number("1250"), "1250"},
		{"unit_amount_decimal", "012.50", nil, "12.5"},
		{"unit_amount_decimal", "123456789.123456789012", nil, "123456789.123456789012"},
		{"unit_amount_decimal", "0.000000000001", nil, "0.000000000001"},
		{"unit_amount_decimal", "7.000000000000", number("7"), "7"},
	} {
		p := h.post("/v1/prices", "product", "lamp", "currency", "usd", c.name, c.value).ok()
		require.Equal(t, c.whole, p.at("unit_amount"), c.value)
		require.Equal(t, c.fractions, p.at("unit_amount_decimal"), c.value)
	}
}

func TestCreatePrice_RefusesMeteredWithoutMeter(t *testing.T) {
	t.Parallel()
	h := startWithLamp(t)
	metered := form("product", "lamp", "currency", "usd", "unit_amount", "1", "recurring[interval]", "month",
		"recurring[usage_type]", "metered")
	h.ask(http.MethodPost, "/v1/prices", metered, "Stripe-Version", "2025-02-24.acacia").ok()
	h.ask(http.MethodPost, "/v1/prices", metered, "Stripe-Version", "2025-03-31.basil").
		requireRefused(http.StatusBadRequest, "parameter_missing", "recurring[meter]", "backed by meters")
	metered.Set("recurring[meter]", "mtr_1")
	h.ask(http.MethodPost, "/v1/prices", metered, "Stripe-Version", "2025-03-31.basil").ok()
}

func TestPrice_Tiers(t *testing.T) {
	t.Parallel()
	h := startWithLamp(t)
	p := h.post("/v1/prices", "product", "lamp", "currency", "eur", "billing_scheme", "tiered", "tiers_mode",
		"graduated",
		"recurring[interval]", "month", "recurring[usage_type]", "metered",
		"tiers[0][up_to]", "10", "tiers[0][unit_amount_decimal]", "0.5", "tiers[1][up_to]", "inf",
		"tiers[1][flat_amount]", "300", "tiers[1][unit_amount]", "0").ok()
	require.Nil(t, p.at("unit_amount"))
	require.Nil(t, p.at("unit_amount_decimal"))
	require.NotContains(t, p.body, "tiers", "tiers are shown only when expanded")
	id := p.text("id")
	want := []any{
		map[string]any{
			"flat_amount":         nil,
			"flat_amount_decimal": nil,
			"unit_amount":         nil,
			"unit_amount_decimal": "0.5",
			"up_to":               number("10"),
		},
		map[string]any{
			"flat_amount":         number("300"),
			"flat_amount_decimal": "300",
			"unit_amount":         number("0"),
			"unit_amount_decimal": "0",
			"up_to":               nil,
		},
	}
	require.Equal(t, want, h.get("/v1/prices/"+id, "expand[]", "tiers").ok().at("tiers"))
	require.Equal(t, want, h.get("/v1/prices", "expand[]", "data.tiers").ok().list()[0]["tiers"])
	require.NotContains(t, h.get("/v1/prices").ok().list()[0], "tiers")
}

func TestPrice_CurrencyOptions(t *testing.T) {
	t.Parallel()
	h := startWithLamp(t)
	p := h.post("/v1/prices", "product", "lamp", "currency", "usd", "unit_amount_decimal", "100",
		"currency_options[eur][unit_amount_decimal]", "90.5",
		"currency_options[gbp][unit_amount_decimal]", "80", "currency_options[gbp][tax_behavior]", "inclusive").ok()
	require.NotContains(t, p.body, "currency_options")
	id := p.text("id")
	option := func(whole any, fractions, tax string) map[string]any {
		return map[string]any{
			"custom_unit_amount":  nil,
			"tax_behavior":        tax,
			"unit_amount":         whole,
			"unit_amount_decimal": fractions,
		}
	}
	expanded := func() any {
		return h.get("/v1/prices/"+id, "expand[]", "currency_options").ok().at("currency_options")
	}
	require.Equal(t, map[string]any{
		"usd": option(number("100"), "100", "unspecified"), "eur": option(nil, "90.5", "unspecified"),
		"gbp": option(number("80"), "80", "inclusive"),
	}, expanded())

	h.post("/v1/prices/"+id, "currency_options[usd][unit_amount]", "1").requireRefused(http.StatusBadRequest, "",
		"currency_options[usd]", "own currency")
	h.post("/v1/prices/"+id, "currency_options[xxx][unit_amount]", "1").requireRefused(http.StatusBadRequest, "",
		"currency_options[xxx]", "Invalid currency: xxx")
	h.post("/v1/prices/"+id, "currency_options[gbp][tax_behavior]", "exclusive").requireRefused(http.StatusBadRequest,
		"",
		"currency_options[gbp][tax_behavior]", "cannot be changed")
	h.post("/v1/prices/"+id, "currency_options[eur][tax_behavior]", "exclusive", "currency_options[gbp][unit_amount]",
		"70", "currency_options[jpy][unit_amount]", "9000").ok()
	require.Equal(t, map[string]any{
		"usd": option(number("100"), "100", "unspecified"), "eur": option(nil, "90.5", "exclusive"),
		"gbp": option(number("70"), "70", "inclusive"),
		"jpy": option(number("9000"), "9000", "unspecified"),
	}, expanded())
	e := h.lastEvent()
	require.Equal(t, "price.updated", text(e, "type"), "there is an event, though it does not show the options")
	h.post("/v1/prices/"+id, "currency_options", "").ok()
	require.Equal(t, map[string]any{"usd": option(number("100"), "100", "unspecified")}, expanded())
}

func TestPrice_Rules(t *testing.T) {
	t.Parallel()
	h := startWithLamp(t)
	base := []string{"product", "lamp", "currency", "usd"}
	with := func(base []string, more ...string) []string { return slices.Concat(base, more) }
	priced := with(base, "unit_amount", "100")
	tiered := with(base, "billing_scheme", "tiered", "tiers_mode", "volume")
	for name, c := range map[string]struct {
		params             []string
		code, param, words string
	}{
		"no currency": {
			[]string{"product", "lamp", "unit_amount", "1"},
			"parameter_missing", "currency",
			"Missing required param: currency.",
		},
		"unknown currency": {
			[]string{"product", "lamp", "unit_amount", "1", "currency", "xyz"},
			"", "currency",
			"Invalid currency: xyz. Stripe currently supports",
		},
		"no product": {
			[]string{"currency", "usd", "unit_amount", "1"},
			"parameter_missing", "product",
			"`product`",
		},
		"unknown product": {
			[]string{"product", "none", "currency", "usd", "unit_amount", "1"},
			"resource_missing", "product", "No such product: 'none'",
		},
		"no amount": {base, "parameter_missing", "unit_amount", "One of `unit_amount`"},
		"both amounts": {
			with(priced, "unit_amount_decimal", "1.5"), "parameters_exclusive", "unit_amount",
			"only specify one",
		},
		"negative amount": {
			with(base, "unit_amount", "-1"), "parameter_invalid_integer", "unit_amount",
			"non-negative",
		},
		"fraction as integer": {
			with(base, "unit_amount", "1.5"), "parameter_invalid_integer", "unit_amount",
			"Invalid integer: 1.5",
		},
		"thirteen decimals": {
			with(base, "unit_amount_decimal", "0.0000000000001"), "", "unit_amount_decimal",
			"12 decimal places",
		},
		"no decimal": {
			with(base, "unit_amount_decimal", "1e3"), "", "unit_amount_decimal",
			"Invalid decimal: 1e3",
		},
		"chosen amount beside": {
			with(priced, "custom_unit_amount[enabled]", "true"), "parameters_exclusive",
			"custom_unit_amount", "only specify one",
		},
		"chosen and recurring": {
			with(base, "custom_unit_amount[enabled]", "true", "recurring[interval]", "day"), "",
			"custom_unit_amount", "recurring",
		},
		"chosen upside down": {with(base, "custom_unit_amount[enabled]", "true", "custom_unit_amount[minimum]",
			"5", "custom_unit_amount[maximum]", "4"), "", "custom_unit_amount[maximum]", "greater"},
		"tiers without scheme": {
			with(priced, "tiers[0][up_to]", "inf", "tiers[0][unit_amount]", "1"), "", "tiers",
			"billing_scheme=tiered",
		},
		"no tiers": {tiered, "parameter_missing", "tiers", "Missing"},
		"no mode": {with(base, "billing_scheme", "tiered", "tiers[0][up_to]", "inf",
			"tiers[0][unit_amount]", "1"), "parameter_missing", "tiers_mode", "Missing"},
		"no last tier": {
			with(tiered, "tiers[0][up_to]", "5", "tiers[0][unit_amount]", "1"), "",
			"tiers[0][up_to]", "inf",
		},
		"tiers that descend": {with(tiered, "tiers[0][up_to]", "5", "tiers[0][unit_amount]", "1",
			"tiers[1][up_to]", "5", "tiers[1][unit_amount]", "1", "tiers[2][up_to]", "inf", "tiers[2][unit_amount]",
			"1"), "", "tiers[1][up_to]", "greater"},
		"tier without amount": {
			with(tiered, "tiers[0][up_to]", "inf"), "parameter_missing", "tiers[0]",
			"at least one",
		},
		"tiers and transform": {
			with(tiered, "tiers[0][up_to]", "inf", "tiers[0][unit_amount]", "1",
				"transform_quantity[divide_by]", "2", "transform_quantity[round]", "up"), "", "transform_quantity",
			"tiered",
		},
		"tiers without recurring": {
			with(tiered, "tiers[0][up_to]", "inf", "tiers[0][unit_amount]", "1"),
			"parameter_missing", "interval", "Missing required param: interval.",
		},
		"product id of its own": {[]string{
			"currency", "usd", "unit_amount", "1", "product_data[name]", "Mug",
			"product_data[id]", "a/b",
		}, "", "product_data[id]", "Only letters"},
		"divided by nothing": {with(priced, "transform_quantity[divide_by]", "0", "transform_quantity[round]",
			"up"), "parameter_invalid_integer", "transform_quantity[divide_by]", "greater"},
		"unknown interval": {
			with(priced, "recurring[interval]", "hour"), "", "recurring[interval]",
			"must be one of day, month, week, or year",
		},
		"37 months": {
			with(priced, "recurring[interval]", "month", "recurring[interval_count]", "37"), "",
			"recurring[interval_count]", "36 months",
		},
		"meter without metered": {
			with(priced, "recurring[interval]", "month", "recurring[meter]", "mtr_1"), "",
			"recurring[meter]", "metered",
		},
		"aggregate of licensed": {
			with(priced, "recurring[interval]", "month", "recurring[aggregate_usage]", "max"),
			"", "recurring[aggregate_usage]", "metered",
		},
		"unknown aggregate": {with(priced, "recurring[interval]", "month", "recurring[usage_type]", "metered",
			"recurring[aggregate_usage]", "min"), "", "recurring[aggregate_usage]", "must be one of"},
		"days before it begins": {
			with(priced, "recurring[interval]", "month", "recurring[trial_period_days]", "-1"),
			"parameter_invalid_integer", "recurring[trial_period_days]", "",
		},
		"long lookup key": {
			with(priced, "lookup_key", string(make([]byte, 201))), "", "lookup_key",
			"at most 200",
		},
		"an id of its own": {with(priced, "id", "price_mine"), "parameter_unknown", "id", "unknown parameter"},
		"a tiered option": {
			with(priced, "currency_options[eur][tiers][0][up_to]", "inf",
				"currency_options[eur][tiers][0][unit_amount]", "1"), "", "currency_options[eur]", "tiered",
		},
	} {
		t.Log(name)
		h.post("/v1/prices", c.params...).requireRefused(http.StatusBadRequest, c.code, c.param, c.words)
	}
	require.Equal(t, []string{"product.created"}, h.events(), "they created nothing")

	chosen := h.post("/v1/prices",
		with(base, "custom_unit_amount[enabled]", "true", "custom_unit_amount[preset]", "500")...).ok()
	require.Equal(t, map[string]any{"maximum": nil, "minimum": nil, "preset": number("500")},
		chosen.at("custom_unit_amount"))
	require.Nil(t, chosen.at("unit_amount_decimal"))
	divided := h.post("/v1/prices",
		with(priced, "transform_quantity[divide_by]", "12", "transform_quantity[round]", "up")...).ok()
	require.Equal(t, map[string]any{"divide_by": number("12"), "round": "up"}, divided.at("transform_quantity"))
	yearly := h.post("/v1/prices",
		with(priced, "recurring[interval]", "year", "recurring[interval_count]", "3")...).ok()
	require.Equal(t, map[string]any{
		"aggregate_usage": nil, "interval": "year", "interval_count": number("3"), "meter": nil,
		"trial_period_days": nil, "usage_type": "licensed",
	}, yearly.at("recurring"))
	metered := h.post("/v1/prices",
		with(priced, "recurring[interval]", "month", "recurring[usage_type]", "metered", "recurring[trial_period_days]",
			"14")...).ok()
	require.Equal(t, "sum", metered.at("recurring").(map[string]any)["aggregate_usage"])
	require.Equal(t, number("14"), metered.at("recurring").(map[string]any)["trial_period_days"])
	require.Equal(t, "recurring", yearly.text("type"))
	require.Equal(t, "usd",
		h.post("/v1/prices", "product", "lamp", "currency", "USD", "unit_amount", "1").ok().text("currency"))
}

func TestUpdatePrice_RefusesAmount(t *testing.T) {
	t.Parallel()
	h := startWithLamp(t)
	id := h.create("/v1/prices", "product", "lamp", "currency", "usd", "unit_amount", "100")
	for _, name := range []string{
		"unit_amount", "unit_amount_decimal", "currency", "billing_scheme", "product", "tiers_mode",
		"recurring[interval]", "transform_quantity[round]",
		"tiers[0][up_to]", "custom_unit_amount[enabled]",
	} {
		base := name
		for i, r := range name {
			if r == '[' {
				base = name[:i]
				break
			}
		}
		h.post("/v1/prices/"+id, name, "1").requireRefused(http.StatusBadRequest, "parameter_unknown", base,
			"Received unknown parameter: "+base)
	}
	p := h.post("/v1/prices/"+id, "nickname", "n", "metadata[k]", "v", "lookup_key", "lk", "tax_behavior", "inclusive",
		"active", "false").ok()
	require.Equal(t, []any{"n", "lk", "inclusive", false},
		[]any{p.at("nickname"), p.at("lookup_key"), p.at("tax_behavior"), p.at("active")})
	h.post("/v1/prices/"+id, "tax_behavior", "exclusive").requireRefused(http.StatusBadRequest, "", "tax_behavior",
		"cannot be changed")
	h.post("/v1/prices/"+id, "tax_behavior", "inclusive", "active", "true").ok()
	h.ask(http.MethodDelete, "/v1/prices/"+id, nil).requireRefused(http.StatusNotFound, "", "",
		"Unrecognized request URL (DELETE: /v1/prices/"+id+")")
	h.post("/v1/prices/price_none", "active", "false").requireRefused(http.StatusNotFound, "resource_missing", "price",
		"No such price: 'price_none'")
}

func TestPrice_LookupKeysAreUnique(t *testing.T) {
	t.Parallel()
	h := startWithLamp(t)
	priced := []string{"product", "lamp", "currency", "usd", "unit_amount", "100", "lookup_key", "lamp_monthly"}
	first := h.create("/v1/prices", priced...)
	h.post("/v1/prices", priced...).requireRefused(http.StatusBadRequest, "", "lookup_key",
		"A price (`"+first+"`) already uses that lookup key")
	h.post("/v1/prices/"+first, "active", "false").ok()
	h.post("/v1/prices", priced...).requireRefused(http.StatusBadRequest, "", "lookup_key",
		"already uses that lookup key") // archived prices keep their keys
	before := len(h.events())

	second := h.create("/v1/prices", append(priced, "transfer_lookup_key", "true")...)
	require.Nil(t, h.get("/v1/prices/"+first).ok().at("lookup_key"))
	require.Equal(t, []string{"price.updated", "price.created"}, h.events()[before:])
	require.Equal(t, []string{second}, h.get("/v1/prices", "lookup_keys[]", "lamp_monthly").ok().ids())

	h.post("/v1/prices/"+first, "lookup_key", "lamp_monthly").requireRefused(http.StatusBadRequest, "", "lookup_key",
		"already uses that lookup key")
	h.post("/v1/prices/"+first, "lookup_key", "lamp_monthly", "transfer_lookup_key", "true").ok()
	require.Nil(t, h.get("/v1/prices/"+second).ok().at("lookup_key"))
	h.post("/v1/prices/"+first, "lookup_key", "").ok()
	h.post("/v1/prices/"+second, "lookup_key", "lamp_monthly").ok()
}

func TestCreatePrice_CreatesProduct(t *testing.T) {
	t.Parallel()
	h := start(t, stripesim.Config{})
	p := h.post("/v1/prices", "currency", "usd", "unit_amount", "100", "product_data[name]", "Lamp",
		"product_data[metadata][k]", "v", "expand[]", "product").ok()
	require.Equal(t, "Lamp", p.text("product", "name"))
	require.Equal(t, "v", p.text("product", "metadata", "k"))
	require.Equal(t, []string{"product.created", "price.created"}, h.events())
	h.post("/v1/prices", "currency", "usd", "unit_amount", "100", "product_data[name]", "Lamp", "product", "lamp").
		requireRefused(http.StatusBadRequest, "parameters_exclusive", "product_data", "only specify one")
	h.post("/v1/prices", "currency", "usd", "unit_amount", "100", "product_data[name]", "Lamp", "product_data[id]",
		p.text("product", "id")).
		requireRefused(http.StatusBadRequest, "resource_already_exists", "product_data[id]", "already exists")
}
