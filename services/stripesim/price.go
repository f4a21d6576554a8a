package stripesim

import (
	"net/http"
	"slices"
	"strings"
)

func (t *tx) createPrice(c *call) (any, *refusal) {
	productID, data := c.form.text("product"), c.form.get("product_data")
	switch {
	case productID != "" && data != nil:
		return nil, invalid("parameters_exclusive", "product_data",
			"You may only specify one of these parameters: product, product_data.")
	case productID == "" && data == nil:
		return nil, invalid("parameter_missing", "product", "One of `product` or `product_data` is required.")
	}
	var made *product
	if data != nil {
		made = &product{
			ID: data.text("id"), Active: true, Created: c.now.Unix(), Updated: c.now.Unix(), Name: data.text("name"),
			Type: "service",
		}
		if made.ID == "" {
			made.ID = newID("prod_", 14)
		} else if r := checkProductID("product_data[id]", made.ID); r != nil {
			return nil, r
		}
		if r := made.write(data); r != nil {
			return nil, r
		}
		productID = made.ID
	}
	p, r := newPrice(c.form, productID, c.version, c.now)
	if r != nil {
		return nil, r
	}
	p.Inline = c.inline
	switch exists := t.products.get(productID) != nil; {
	case made != nil && exists:
		return nil, refuse("resource_already_exists", "product_data[id]", "Product already exists.")
	case made == nil && !exists:
		return nil, missing(http.StatusBadRequest, "product", productID, "product")
	}
	if r := t.transferLookupKey(c, p); r != nil {
		return nil, r
	}
	if made != nil {
		t.putProduct(made)
		t.event(c, "product.created", t.renderProduct(made, nil, t.sim.cfg.APIVersion), nil)
	}
	t.putPrice(p)
	t.event(c, "price.created", t.renderPrice(p, nil, t.sim.cfg.APIVersion), nil)
	return t.renderPrice(p, c.expand, c.version), nil
}

// transferLookupKey requires that no other price, archived or not, has this one's key. With transfer_lookup_key it
// moves the key from the price that has it.
func (t *tx) transferLookupKey(c *call, p *price) *refusal {
	holderID, held := t.lookupKeys[p.LookupKey]
	if p.LookupKey == "" || !held || holderID == p.ID {
		return nil
	}
	if transfer, _ := c.form.flag("transfer_lookup_key"); !transfer {
		return refuse("", "lookup_key",
			"A price (`%s`) already uses that lookup key. Use `transfer_lookup_key=true` to transfer it.", holderID)
	}
	old := t.prices.get(holderID)
	holder := *old
	holder.LookupKey = ""
	t.replacePrice(c, old, &holder)
	return nil
}

func (t *tx) updatePrice(c *call) (any, *refusal) {
	old := t.prices.get(c.id)
	if old == nil {
		return nil, t.notFound(c, "price")
	}
	p := *old
	if active, sent := c.form.flag("active"); sent {
		p.Active = active
	}
	p.setTexts(c.form)
	if key := c.form.get("lookup_key"); key != nil {
		p.LookupKey = key.value
	}
	var r *refusal
	if p.Metadata, r = mergeMetadata(p.Metadata, c.form.get("metadata")); r != nil {
		return nil, r
	}
	if behavior := c.form.text("tax_behavior"); behavior != "" {
		if r := checkTaxBehavior("tax_behavior", p.TaxBehavior, behavior); r != nil {
			return nil, r
		}
		p.TaxBehavior = behavior
	}
	if r := mixedAmounts(c.form); r != nil {
		return nil, r
	}
	if p.Options, r = p.mergeOptions(c.form.get("currency_options")); r != nil {
		return nil, r
	}
	if old.Active && !p.Active && t.products.get(p.Product).DefaultPrice == p.ID {
		return nil, refuse("", "active",
			"This price cannot be archived because it is the default price of its product.")
	}
	if r := t.transferLookupKey(c, &p); r != nil {
		return nil, r
	}
	t.replacePrice(c, old, &p)
	return t.renderPrice(t.prices.get(c.id), c.expand, c.version), nil
}

// fullExpansion expands every field of a price, to detect any difference.
var fullExpansion = &expansion{subs: map[string]*expansion{"tiers": {}, "currency_options": {}}}

// replacePrice stores a price and records an event, unless nothing differs.
func (t *tx) replacePrice(c *call, old, p *price) {
	version := t.sim.cfg.APIVersion
	if changes(t.renderPrice(old, fullExpansion, version), t.renderPrice(p, fullExpansion, version)) == nil {
		return
	}
	t.putPrice(p)
	// The event shows no currency options. If only those change, it has no previous attributes.
	before, after := t.renderPrice(old, nil, version), t.renderPrice(p, nil, version)
	previous := changes(before, after)
	if previous == nil {
		previous = map[string]any{}
	}
	t.event(c, "price.updated", after, previous)
}

// dropPrice deletes a price, as only the Dashboard can.
func (t *tx) dropPrice(c *call, p *price) {
	last := *p
	last.Active = false
	t.removePrice(p.ID)
	t.event(c, "price.deleted", t.renderPrice(&last, nil, t.sim.cfg.APIVersion), nil)
}

func (t *tx) getPrice(c *call) (any, *refusal) {
	if p := t.prices.get(c.id); p != nil {
		return t.renderPrice(p, c.expand, c.version), nil
	}
	return nil, t.notFound(c, "price")
}

var listPricesParams = listParams(map[string]shape{
	"active": {kind: boolean}, "created": createdParam, "currency": {kind: currencyCode},
	"lookup_keys": {kind: list, max: 10, item: &shape{max: 5000}}, "product": {max: 5000},
	"recurring": {kind: hash, fields: map[string]shape{
		"interval": {kind: enumeration, choices: intervals}, "meter": {max: 5000},
		"usage_type": {kind: enumeration, choices: []string{"licensed", "metered"}},
	}},
	"type": {kind: enumeration, choices: []string{"one_time", "recurring"}},
})

func (t *tx) listPrices(c *call) (any, *refusal) {
	page, created, r := readCreatedPage(c, "price", &t.prices)
	if r != nil {
		return nil, r
	}
	if id := c.form.text("product"); id != "" {
		page.narrow(t.prices.places(t.pricesOf[id]))
	}
	if keys := c.form.get("lookup_keys"); keys != nil {
		var ids []string
		for _, key := range values(keys) {
			if id, ok := t.lookupKeys[key]; ok {
				ids = append(ids, id)
			}
		}
		page.narrow(t.prices.places(ids))
	}
	active, byActive := c.form.flag("active")
	if !byActive && !t.sim.cfg.UnfilteredInactivePrices {
		active, byActive = true, true
	}
	currency, kind, every := strings.ToLower(c.form.text("currency")), c.form.text("type"), c.form.get("recurring")
	found, more := page.collect(func(p *price) bool {
		return !p.Inline && (!byActive || p.Active == active) && (currency == "" || p.Currency == currency) &&
			(kind == "" || p.kind() == kind) && p.Recurring.matches(every) && created.contains(p.Created)
	})
	out := make([]any, len(found))
	for i, p := range found {
		out[i] = t.renderPrice(p, c.expand.sub("data"), c.version)
	}
	return listJSON{Object: "list", Data: out, HasMore: more, URL: "/v1/prices"}, nil
}

func (p *price) kind() string {
	if p.Recurring != nil {
		return "recurring"
	}
	return "one_time"
}

func (r *recurring) matches(f *field) bool {
	if f == nil {
		return true
	}
	matches := func(name, have string) bool { return f.text(name) == "" || f.text(name) == have }
	return r != nil && matches("interval", r.Interval) && matches("usage_type", r.UsageType) &&
		(f.text("meter") == "" || r.Meter != nil && *r.Meter == f.text("meter"))
}

func values(f *field) []string {
	var out []string
	for _, item := range f.items() {
		out = append(out, item.value)
	}
	return slices.Compact(out)
}
