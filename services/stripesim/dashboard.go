package stripesim

import (
	"encoding/json"
	"net/http"
	"net/url"
)

// Dashboard acts as a person in Stripe's Dashboard: no limits, no faults, no idempotency keys. Its changes make events,
// as at Stripe. Parameters have the names of the API's parameters.
type Dashboard struct {
	sim *Sim
	// Account is the account to work on. Defaults to Config.Account.
	Account string
	// Live selects the objects of live mode instead of test mode.
	Live bool
	// Silent makes no events, and so no webhooks, as if the change were older than Stripe's event log.
	Silent bool
}

// Dashboard returns a Dashboard for the account of the configuration in test mode. Its fields select others.
func (s *Sim) Dashboard() *Dashboard { return &Dashboard{sim: s} }

// CreateProduct creates a product and returns its id.
func (d *Dashboard) CreateProduct(params url.Values) (string, error) {
	return d.id(d.post("/v1/products", params, false))
}

// EditProduct changes a product.
func (d *Dashboard) EditProduct(id string, params url.Values) error {
	_, err := d.post("/v1/products/"+url.PathEscape(id), params, false)
	return err
}

// DeleteProduct deletes a product without prices. withPrices deletes its prices first.
func (d *Dashboard) DeleteProduct(id string, withPrices bool) error {
	op := deleteProductOp
	if withPrices {
		op = deleteProductWithPricesOp
	}
	_, err := d.run(&call{op: op, method: http.MethodDelete, id: id, form: &field{}})
	return err
}

// CreatePrice creates a price and returns its id. An inline price is created as a checkout does, so no list shows it.
func (d *Dashboard) CreatePrice(params url.Values, inline bool) (string, error) {
	return d.id(d.post("/v1/prices", params, inline))
}

// EditPrice changes a price.
func (d *Dashboard) EditPrice(id string, params url.Values) error {
	_, err := d.post("/v1/prices/"+url.PathEscape(id), params, false)
	return err
}

// DeletePrice deletes a price that is not the default of its product. The API cannot do that.
func (d *Dashboard) DeletePrice(id string) error {
	_, err := d.run(&call{op: deletePriceOp, method: http.MethodDelete, id: id, form: &field{}})
	return err
}

var (
	deleteProductOp = &operation{
		method: http.MethodDelete,
		path:   "/_sim/dashboard/products/{id}",
		object: "product",
		run:    (*tx).deleteProduct,
	}
	deleteProductWithPricesOp = &operation{
		method: http.MethodDelete,
		path:   "/_sim/dashboard/products/{id}",
		object: "product",
		run:    (*tx).deleteProductWithPrices,
	}
	deletePriceOp = &operation{
		method: http.MethodDelete,
		path:   "/_sim/dashboard/prices/{price}",
		object: "price",
		run:    (*tx).deletePrice,
	}
)

func (t *tx) deletePrice(c *call) (any, *refusal) {
	p := t.prices.get(c.id)
	if p == nil {
		return nil, t.notFound(c, "price")
	}
	if of := t.products.get(p.Product); of != nil && of.DefaultPrice == p.ID {
		return nil, refuse("", "", "This price cannot be deleted because it is the default price of its product.")
	}
	if t.usesOf(p.ID) > 0 {
		return nil, refuse("", "", "This price cannot be deleted because it has been used.")
	}
	t.dropPrice(c, p)
	return deletedJSON{ID: c.id, Object: "price", Deleted: true}, nil
}

func (t *tx) deleteProductWithPrices(c *call) (any, *refusal) {
	p := t.products.get(c.id)
	if p == nil {
		return nil, t.notFound(c, "product")
	}
	for _, id := range t.pricesOf[c.id] {
		if t.usesOf(id) > 0 {
			return nil, refuse("", "", "This product cannot be deleted because one of its prices has been used.")
		}
	}
	if p.DefaultPrice != "" {
		without := *p
		without.DefaultPrice = ""
		t.replaceProduct(c, p, &without)
		p = t.products.get(c.id)
	}
	for _, id := range append([]string(nil), t.pricesOf[c.id]...) {
		t.dropPrice(c, t.prices.get(id))
	}
	t.dropProduct(c, p)
	return deletedJSON{ID: c.id, Object: "product", Deleted: true}, nil
}

func (d *Dashboard) post(path string, params url.Values, inline bool) (json.RawMessage, error) {
	c := &call{method: http.MethodPost, path: path, inline: inline}
	c.op, c.id = route(c.method, path)
	if c.op == nil {
		return nil, unknownURL(c.method, path)
	}
	var bad *refusal
	if c.form, c.pairs, bad = parseForm(params.Encode()); bad != nil {
		return nil, bad
	}
	return d.run(c)
}

// submit carries out an operation that only the simulator has.
func (d *Dashboard) submit(op *operation, id string, params url.Values) (json.RawMessage, error) {
	c := &call{op: op, method: op.method, path: op.path, id: id}
	var bad *refusal
	if c.form, c.pairs, bad = parseForm(params.Encode()); bad != nil {
		return nil, bad
	}
	return d.run(c)
}

func (d *Dashboard) run(c *call) (json.RawMessage, error) {
	c.now, c.requestID, c.version = d.sim.cfg.Clock(), newID("req_", 14), d.sim.cfg.APIVersion
	c.who = identity{account: d.Account, live: d.Live}
	c.silent = d.Silent
	setDefault(&c.who.account, d.sim.cfg.Account)
	if bad := c.check(false); bad != nil {
		return nil, bad
	}
	out := d.sim.run(c, nil, nil)
	if out.status != http.StatusOK {
		var e errorBody
		decode(out.body, &e)
		return nil, &refusal{
			status:  out.status,
			kind:    e.Error.Type,
			code:    e.Error.Code,
			message: e.Error.Message,
			param:   e.Error.Param,
		}
	}
	return out.body, nil
}

func (d *Dashboard) id(raw json.RawMessage, err error) (string, error) {
	if err != nil {
		return "", err
	}
	var object struct {
		ID string `json:"id"`
	}
	decode(raw, &object)
	return object.ID, nil
}
