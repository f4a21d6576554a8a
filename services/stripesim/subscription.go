package stripesim

import (
	"net/http"
	"net/url"
	"slices"
	"time"
)

// subscription is a stored subscription. It is never modified, only replaced.
type subscription struct {
	ID       string             `json:"id"`
	Created  int64              `json:"created"`
	Customer string             `json:"customer"`
	Status   string             `json:"status"`
	Currency string             `json:"currency"`
	Items    []subscriptionItem `json:"items"`
	// Ended is the second in which it was canceled or expired.
	Ended int64 `json:"ended,omitempty"`
}

type subscriptionItem struct {
	ID       string `json:"id"`
	Price    string `json:"price"`
	Quantity int64  `json:"quantity"`
}

func (s *subscription) second() int64 { return s.Created }

// hasPrice reports whether one of the items has a price.
func (s *subscription) hasPrice(id string) bool {
	return slices.ContainsFunc(s.Items, func(i subscriptionItem) bool { return i.Price == id })
}

var subscriptionStatuses = []string{
	"active", "canceled", "incomplete", "incomplete_expired", "past_due", "paused", "trialing", "unpaid",
}

// maxItems is the maximum number of items of a subscription, and of a payment link.
const maxItems = 20

var listSubscriptionsParams = listParams(map[string]shape{
	"automatic_tax": {kind: hash, fields: map[string]shape{"enabled": {kind: boolean, required: true}}},
	"collection_method": {
		kind: enumeration, choices: []string{"charge_automatically", "send_invoice"},
	},
	"created": createdParam, "current_period_end": createdParam, "current_period_start": createdParam,
	"customer": {max: 5000}, "customer_account": {max: 5000}, "price": {max: 5000},
	"status":     {kind: enumeration, choices: append([]string{"all", "ended"}, subscriptionStatuses...)},
	"test_clock": {max: 5000},
})

// matchesStatus applies the parameter status. Without it the list has all subscriptions that are not canceled.
func (s *subscription) matchesStatus(status string) bool {
	switch status {
	case "":
		return s.Status != "canceled"
	case "all":
		return true
	case "ended":
		return s.Ended != 0
	default:
		return s.Status == status
	}
}

func (t *tx) listSubscriptions(c *call) (any, *refusal) {
	page, created, r := readCreatedPage(c, "subscription", &t.subscriptions)
	if r != nil {
		return nil, r
	}
	periods := map[string]createdRange{}
	for _, name := range []string{"current_period_start", "current_period_end"} {
		if periods[name], r = readRange(c.form.get(name)); r != nil {
			return nil, r
		}
	}
	id := c.form.text("price")
	if id != "" && t.prices.get(id) == nil {
		return nil, missing(http.StatusBadRequest, "price", id, "price")
	}
	taxed, _ := c.form.get("automatic_tax").flag("enabled")
	// The simulator has no subscriptions with these properties.
	none := taxed || c.form.text("collection_method") == "send_invoice" || c.form.text("test_clock") != "" ||
		c.form.text("customer_account") != ""
	customer, status := c.form.text("customer"), c.form.text("status")
	found, more := page.collect(func(s *subscription) bool {
		start, end := t.period(s)
		return !none && created.contains(s.Created) && periods["current_period_start"].contains(start) &&
			periods["current_period_end"].contains(end) && (customer == "" || s.Customer == customer) &&
			(id == "" || s.hasPrice(id)) && s.matchesStatus(status)
	})
	out := make([]any, len(found))
	for i, s := range found {
		out[i] = t.renderSubscription(s, c.version)
	}
	return listJSON{Object: "list", Data: out, HasMore: more, URL: "/v1/subscriptions"}, nil
}

// Only people and their checkouts make subscriptions in the simulator, so the operations are not in Stripe's API.
var (
	createSubscriptionOp = &operation{
		method: http.MethodPost,
		path:   "/_sim/dashboard/subscriptions",
		object: "subscription",
		params: map[string]shape{
			"customer": {max: 5000},
			"items": {kind: list, required: true, max: maxItems, item: &shape{kind: hash, fields: map[string]shape{
				"price": {max: 5000, required: true}, "quantity": {kind: integer},
			}}},
			"status": {kind: enumeration, choices: subscriptionStatuses},
		},
		run: (*tx).createSubscription,
	}
	editSubscriptionOp = &operation{
		method: http.MethodPost,
		path:   "/_sim/dashboard/subscriptions/{id}",
		object: "subscription",
		params: map[string]shape{"status": {kind: enumeration, choices: subscriptionStatuses, required: true}},
		run:    (*tx).editSubscription,
	}
)

// CreateSubscription makes a subscription, as a checkout does, and returns its id. The parameters are those of
// POST /v1/subscriptions: items[0][price], items[0][quantity] and customer. In addition, status sets the status, which
// defaults to active. It makes no event.
func (d *Dashboard) CreateSubscription(params url.Values) (string, error) {
	return d.id(d.submit(createSubscriptionOp, "", params))
}

// EditSubscription gives a subscription another status, such as canceled. It makes no event.
func (d *Dashboard) EditSubscription(id string, params url.Values) error {
	_, err := d.submit(editSubscriptionOp, id, params)
	return err
}

func (t *tx) createSubscription(c *call) (any, *refusal) {
	s := &subscription{
		ID: newID("sub_1", 23), Created: c.now.Unix(), Customer: c.form.text("customer"), Status: c.form.text("status"),
	}
	setDefault(&s.Status, "active")
	if s.Customer == "" {
		s.Customer = newID("cus_", 14)
	}
	for _, f := range c.form.get("items").items() {
		p, r := t.sellable(f)
		if r != nil {
			return nil, r
		}
		if p.Recurring == nil {
			return nil, invalid("", f.get("price").name, "The price specified is set to `type=one_time` but this field "+
				"only accepts prices with `type=recurring`.")
		}
		s.Currency = p.Currency
		s.Items = append(s.Items, subscriptionItem{ID: newID("si_", 14), Price: p.ID, Quantity: quantity(f)})
	}
	s.end(c.now)
	t.putSubscription(s)
	return t.renderSubscription(s, c.version), nil
}

func (t *tx) editSubscription(c *call) (any, *refusal) {
	old := t.subscriptions.get(c.id)
	if old == nil {
		return nil, t.notFound(c, "subscription")
	}
	s := *old
	s.Status = c.form.text("status")
	s.end(c.now)
	t.putSubscription(&s)
	return t.renderSubscription(&s, c.version), nil
}

// end sets when the subscription ended, if its status says that it did.
func (s *subscription) end(now time.Time) {
	s.Ended = 0
	if s.Status == "canceled" || s.Status == "incomplete_expired" {
		s.Ended = now.Unix()
	}
}

// sellable returns the price of an item of a subscription or payment link. Only active prices can be sold.
func (t *tx) sellable(item *field) (*price, *refusal) {
	id := item.text("price")
	p := t.prices.get(id)
	switch {
	case p == nil:
		return nil, missing(http.StatusBadRequest, "price", id, item.get("price").name)
	case !p.Active:
		return nil, invalid("", item.get("price").name,
			"The price specified is inactive. This field only accepts active prices.")
	}
	return p, nil
}

// quantity returns the quantity of an item. Defaults to 1.
func quantity(item *field) int64 {
	if n, sent := item.integer("quantity"); sent {
		return n
	}
	return 1
}

// period returns the present billing period: the simulator's subscriptions are in their first one.
func (s *store) period(of *subscription) (start, end int64) {
	start = of.Created
	p := s.prices.get(of.Items[0].Price)
	if p == nil || p.Recurring == nil {
		return start, start
	}
	from, n := time.Unix(start, 0).UTC(), int(p.Recurring.IntervalCount)
	switch p.Recurring.Interval {
	case "day":
		return start, from.AddDate(0, 0, n).Unix()
	case "week":
		return start, from.AddDate(0, 0, 7*n).Unix()
	case "year":
		return start, from.AddDate(n, 0, 0).Unix()
	default:
		return start, from.AddDate(0, n, 0).Unix()
	}
}

// periodOfItems is the API version from which the items have the billing period, and not the subscription.
const periodOfItems = "2025-03-31"

// renderSubscription renders the fields of Stripe's OpenAPI document, in versions before 2025-03-31 also the
// subscription's own billing period.
func (s *store) renderSubscription(of *subscription, version string) map[string]any {
	start, end := s.period(of)
	items := make([]any, len(of.Items))
	for i, item := range of.Items {
		items[i] = map[string]any{
			"id": item.ID, "object": "subscription_item", "billing_thresholds": nil, "created": of.Created,
			"current_period_end": end, "current_period_start": start, "discounts": []any{},
			"metadata": map[string]any{}, "price": s.renderPrice(s.prices.get(item.Price), nil, version),
			"quantity":     item.Quantity,
			"subscription": of.ID, "tax_rates": []any{},
		}
	}
	out := map[string]any{
		"id": of.ID, "object": "subscription", "application": nil, "application_fee_percent": nil,
		"automatic_tax":        map[string]any{"disabled_reason": nil, "enabled": false, "liability": nil},
		"billing_cycle_anchor": of.Created, "billing_cycle_anchor_config": nil,
		"billing_mode": map[string]any{"flexible": nil, "type": "classic"}, "billing_schedules": []any{},
		"billing_thresholds": nil, "cancel_at": nil, "cancel_at_period_end": false, "canceled_at": nil,
		"cancellation_details": map[string]any{"comment": nil, "feedback": nil, "reason": nil},
		"collection_method":    "charge_automatically", "created": of.Created, "currency": of.Currency,
		"customer": of.Customer, "customer_account": nil, "days_until_due": nil, "default_payment_method": nil,
		"default_source": nil, "default_tax_rates": []any{}, "description": nil, "discounts": []any{}, "ended_at": nil,
		"invoice_settings": map[string]any{"account_tax_ids": nil, "issuer": map[string]any{"type": "self"}},
		"items": listJSON{
			Object: "list", Data: items, URL: "/v1/subscription_items?subscription=" + of.ID,
		},
		"latest_invoice": nil, "livemode": s.live, "metadata": map[string]any{},
		"next_pending_invoice_item_invoice": nil, "on_behalf_of": nil, "pause_collection": nil,
		"payment_settings": nil, "pending_invoice_item_interval": nil, "pending_setup_intent": nil,
		"pending_update": nil, "schedule": nil, "start_date": of.Created, "status": of.Status, "test_clock": nil,
		"transfer_data": nil, "trial_end": nil, "trial_settings": nil, "trial_start": nil,
	}
	if of.Ended != 0 {
		out["canceled_at"], out["ended_at"] = of.Ended, of.Ended
	}
	if of.Status == "trialing" {
		out["trial_start"], out["trial_end"] = start, end
	}
	if version < periodOfItems {
		out["current_period_start"], out["current_period_end"] = start, end
	}
	return out
}
