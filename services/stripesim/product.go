package stripesim

import (
	"net/http"
	"regexp"
)

type deletedJSON struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Deleted bool   `json:"deleted"`
}

var expandParam = shape{kind: list, item: &shape{max: 5000}}

// productID matches the ids that a caller may choose.
var productID = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

func checkProductID(param, id string) *refusal {
	if productID.MatchString(id) {
		return nil
	}
	return invalid("", param, "Invalid %s: %s. Only letters, digits, underscores and hyphens are allowed.", param, id)
}

func (t *tx) createProduct(c *call) (any, *refusal) {
	p := &product{
		ID: c.form.text("id"), Active: true, Created: c.now.Unix(), Updated: c.now.Unix(), Name: c.form.text("name"),
		Type: "service",
	}
	if p.ID == "" {
		p.ID = newID("prod_", 14)
	} else if r := checkProductID("id", p.ID); r != nil {
		return nil, r
	}
	if s := c.form.text("type"); s != "" {
		p.Type = s
	}
	if r := p.write(c.form); r != nil {
		return nil, r
	}
	var first *price
	if data := c.form.get("default_price_data"); data != nil {
		var r *refusal
		if first, r = newPrice(data, p.ID, c.version, c.now); r != nil {
			return nil, r
		}
		p.DefaultPrice = first.ID
	}
	wasDeleted := t.products.wasDeleted(p.ID)
	if t.products.get(p.ID) != nil || t.sim.cfg.RefuseDeletedIDs && wasDeleted {
		return nil, refuse("resource_already_exists", "id", "Product already exists.")
	}
	if wasDeleted && t.sim.cfg.OnUndocumented != nil {
		t.sim.cfg.OnUndocumented()
	}
	t.putProduct(p)
	t.event(c, "product.created", t.renderProduct(p, nil, t.sim.cfg.APIVersion), nil)
	if first != nil {
		t.putPrice(first)
		t.event(c, "price.created", t.renderPrice(first, nil, t.sim.cfg.APIVersion), nil)
	}
	return t.renderProduct(p, c.expand, c.version), nil
}

func (t *tx) updateProduct(c *call) (any, *refusal) {
	old := t.products.get(c.id)
	if old == nil {
		return nil, t.notFound(c, "product")
	}
	p := *old
	if name := c.form.get("name"); name != nil {
		p.Name = name.value
	}
	if r := p.write(c.form); r != nil {
		return nil, r
	}
	if f := c.form.get("default_price"); f != nil {
		if r := t.checkDefault(&p, f.value); r != nil {
			return nil, r
		}
		p.DefaultPrice = f.value
	}
	t.replaceProduct(c, old, &p)
	return t.renderProduct(t.products.get(c.id), c.expand, c.version), nil
}

// replaceProduct stores a product and records an event, unless nothing differs.
func (t *tx) replaceProduct(c *call, old, p *product) {
	before := t.renderProduct(old, nil, t.sim.cfg.APIVersion)
	if changes(before, t.renderProduct(p, nil, t.sim.cfg.APIVersion)) == nil {
		return
	}
	p.Updated = c.now.Unix()
	after := t.renderProduct(p, nil, t.sim.cfg.APIVersion)
	t.putProduct(p)
	t.event(c, "product.updated", after, changes(before, after))
}

func (t *tx) checkDefault(p *product, id string) *refusal {
	if id == "" {
		return nil
	}
	switch price := t.prices.get(id); {
	case price == nil:
		return missing(http.StatusBadRequest, "price", id, "default_price")
	case price.Product != p.ID:
		return refuse("", "default_price",
			"The price specified (%s) belongs to the product %s. The default price must belong to the product %s.", id,
			price.Product, p.ID)
	case !price.Active:
		return refuse("", "default_price", "The price specified is inactive. This field only accepts active prices.")
	}
	return nil
}

func (t *tx) deleteProduct(c *call) (any, *refusal) {
	p := t.products.get(c.id)
	if p == nil {
		return nil, t.notFound(c, "product")
	}
	if len(t.pricesOf[c.id]) > 0 {
		return nil, refuse("", "", "This product cannot be deleted because it has one or more user-created prices.")
	}
	t.dropProduct(c, p)
	return deletedJSON{ID: c.id, Object: "product", Deleted: true}, nil
}

// dropProduct deletes a product and records an event with its last state. The state shows the product as inactive, but
// not as deleted.
func (t *tx) dropProduct(c *call, p *product) {
	last := *p
	last.Active = false
	t.removeProduct(p.ID)
	t.event(c, "product.deleted", t.renderProduct(&last, nil, t.sim.cfg.APIVersion), nil)
}

func (t *tx) getProduct(c *call) (any, *refusal) {
	if p := t.products.get(c.id); p != nil {
		return t.renderProduct(p, c.expand, c.version), nil
	}
	return nil, t.notFound(c, "product")
}

var listProductsParams = listParams(map[string]shape{
	"active": {kind: boolean}, "created": createdParam, "ids": {kind: list, item: &shape{max: 5000}},
	"shippable": {kind: boolean}, "url": {max: 5000},
})

func (t *tx) listProducts(c *call) (any, *refusal) {
	page, created, r := readCreatedPage(c, "product", &t.products)
	if r != nil {
		return nil, r
	}
	if ids := c.form.get("ids"); ids != nil {
		if page.cursor != "" {
			return nil, invalid("parameters_exclusive", "ids",
				"You may not pass ids together with starting_after or ending_before.")
		}
		page.narrow(t.products.places(values(ids)))
	}
	active, byActive := c.form.flag("active")
	shippable, byShippable := c.form.flag("shippable")
	url := c.form.text("url")
	found, more := page.collect(func(p *product) bool {
		return (!byActive || p.Active == active) &&
			(!byShippable || p.Shippable != nil && *p.Shippable == shippable) &&
			(url == "" || p.URL != nil && *p.URL == url) && created.contains(p.Created)
	})
	out := make([]any, len(found))
	for i, p := range found {
		out[i] = t.renderProduct(p, c.expand.sub("data"), c.version)
	}
	return listJSON{Object: "list", Data: out, HasMore: more, URL: "/v1/products"}, nil
}
