package stripesim

import (
	"net/http"
	"net/url"
	"slices"
)

// paymentLink is a stored payment link. It is never modified, only replaced.
type paymentLink struct {
	ID       string     `json:"id"`
	Active   bool       `json:"active,omitempty"`
	Currency string     `json:"currency"`
	Items    []lineItem `json:"items"`
}

type lineItem struct {
	ID       string `json:"id"`
	Price    string `json:"price"`
	Quantity int64  `json:"quantity"`
}

// hasPrice reports whether the link sells a price.
func (l *paymentLink) hasPrice(id string) bool {
	return slices.ContainsFunc(l.Items, func(i lineItem) bool { return i.Price == id })
}

var listPaymentLinksParams = listParams(map[string]shape{"active": {kind: boolean}})

func (t *tx) listPaymentLinks(c *call) (any, *refusal) {
	page, r := readPage(c, "payment link", &t.paymentLinks)
	if r != nil {
		return nil, r
	}
	active, byActive := c.form.flag("active")
	found, more := page.collect(func(l *paymentLink) bool { return !byActive || l.Active == active })
	out := make([]any, len(found))
	for i, l := range found {
		out[i] = t.renderPaymentLink(l, c.expand.sub("data"), c.version)
	}
	return listJSON{Object: "list", Data: out, HasMore: more, URL: "/v1/payment_links"}, nil
}

// A payment link is made by a person here. Stripe's API can make them, too, but no test needs its many parameters.
var (
	createPaymentLinkOp = &operation{
		method: http.MethodPost,
		path:   "/_sim/dashboard/payment_links",
		object: "payment_link",
		params: map[string]shape{
			"line_items": {kind: list, required: true, max: maxItems, item: &shape{kind: hash, fields: map[string]shape{
				"price": {max: 5000, required: true}, "quantity": {kind: integer},
			}}},
		},
		run: (*tx).createPaymentLink,
	}
	editPaymentLinkOp = &operation{
		method: http.MethodPost,
		path:   "/_sim/dashboard/payment_links/{payment_link}",
		object: "payment_link",
		params: map[string]shape{"active": {kind: boolean, required: true}},
		run:    (*tx).editPaymentLink,
	}
)

// CreatePaymentLink makes an active payment link and returns its id. It makes no event. The parameters are those of
// POST /v1/payment_links: line_items[0][price] and line_items[0][quantity].
func (d *Dashboard) CreatePaymentLink(params url.Values) (string, error) {
	return d.id(d.submit(createPaymentLinkOp, "", params))
}

// EditPaymentLink deactivates a payment link with active=false, or activates it again. It makes no event.
func (d *Dashboard) EditPaymentLink(id string, params url.Values) error {
	_, err := d.submit(editPaymentLinkOp, id, params)
	return err
}

func (t *tx) createPaymentLink(c *call) (any, *refusal) {
	l := &paymentLink{ID: newID("plink_1", 23), Active: true}
	for _, f := range c.form.get("line_items").items() {
		p, r := t.sellable(f)
		if r != nil {
			return nil, r
		}
		l.Currency = p.Currency
		l.Items = append(l.Items, lineItem{ID: newID("li_", 14), Price: p.ID, Quantity: quantity(f)})
	}
	t.putPaymentLink(l)
	return t.renderPaymentLink(l, nil, c.version), nil
}

func (t *tx) editPaymentLink(c *call) (any, *refusal) {
	old := t.paymentLinks.get(c.id)
	if old == nil {
		return nil, t.notFound(c, "payment link")
	}
	l := *old
	l.Active, _ = c.form.flag("active")
	t.putPaymentLink(&l)
	return t.renderPaymentLink(&l, nil, c.version), nil
}

// usesOf returns the number of subscriptions and payment links that have a price. Stripe deletes no used price.
func (s *store) usesOf(price string) (n int) {
	for _, of := range s.subscriptions.items {
		if of.hasPrice(price) {
			n++
		}
	}
	for _, l := range s.paymentLinks.items {
		if l.hasPrice(price) {
			n++
		}
	}
	return n
}

// maxNestedItems is how many elements an expanded list has; the rest is on further pages.
const maxNestedItems = 10

func (s *store) renderPaymentLink(l *paymentLink, expand *expansion, version string) map[string]any {
	never := map[string]any{"enabled": false}
	out := map[string]any{
		"id": l.ID, "object": "payment_link", "active": l.Active,
		"after_completion": map[string]any{
			"hosted_confirmation": map[string]any{"custom_message": nil}, "type": "hosted_confirmation",
		},
		"allow_promotion_codes": false, "application": nil, "application_fee_amount": nil,
		"application_fee_percent": nil, "automatic_tax": map[string]any{"enabled": false, "liability": nil},
		"billing_address_collection": "auto", "consent_collection": nil, "currency": l.Currency,
		"custom_fields": []any{},
		"custom_text": map[string]any{
			"after_submit": nil, "shipping_address": nil, "submit": nil, "terms_of_service_acceptance": nil,
		},
		"customer_creation": "if_required", "inactive_message": nil, "invoice_creation": nil, "livemode": s.live,
		"metadata": map[string]any{}, "on_behalf_of": nil, "payment_intent_data": nil,
		"payment_method_collection": "always", "payment_method_types": nil, "phone_number_collection": never,
		"restrictions": nil, "shipping_address_collection": nil, "shipping_options": []any{}, "submit_type": "auto",
		"subscription_data": nil, "tax_id_collection": map[string]any{"enabled": false, "required": "never"},
		"transfer_data": nil, "url": "https://buy.stripe.com/test_" + l.ID[len("plink_1"):],
	}
	if expand.sub("line_items") != nil {
		out["line_items"] = s.renderLineItems(l, version)
	}
	return out
}

func (s *store) renderLineItems(l *paymentLink, version string) listJSON {
	shown := l.Items[:min(len(l.Items), maxNestedItems)]
	out := listJSON{
		Object:  "list",
		Data:    make([]any, len(shown)),
		HasMore: len(shown) < len(l.Items),
		URL:     "/v1/payment_links/" + l.ID + "/line_items",
	}
	for i, item := range shown {
		p := s.prices.get(item.Price)
		var total int64
		if unit := p.Amount.integer(); unit != nil {
			total = *unit * item.Quantity
		}
		description := ""
		if of := s.products.get(p.Product); of != nil {
			description = of.Name
		}
		out.Data[i] = map[string]any{
			"id": item.ID, "object": "item", "amount_discount": 0, "amount_subtotal": total, "amount_tax": 0,
			"amount_total": total, "currency": p.Currency, "description": description,
			"price": s.renderPrice(p, nil, version), "quantity": item.Quantity,
		}
	}
	return out
}
