package stripeapi

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/stripe/stripe-go/v76/form"

	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// endpoints are Stripe's operations for steps; all ids share the bucket of one.
var endpoints = map[catalog.StepKind]string{
	catalog.CreateProduct: "POST /v1/products",
	catalog.UpdateProduct: "POST /v1/products/{id}",
	catalog.CreatePrice:   "POST /v1/prices",
	catalog.UpdatePrice:   "POST /v1/prices/{id}",
}

// inlinePriceVersion is the API version that brought metadata to default_price_data
// (docs.stripe.com/changelog/acacia/2025-02-24/products-default-price-data-metadata-field). Older ones may take it too:
// Stripe calls a new optional parameter backward-compatible, and does not say that it is not bound to a version. A
// product differs from the pinned version's in the name of its features only, of which DecodeProduct reads both.
const inlinePriceVersion = "2025-02-24.acacia"

// Applied is the answer to a step.
type Applied struct {
	// What Stripe holds now: the product or the price of the step. Of a product that was created with its default
	// price, both, unless Stripe did not show the price.
	Product *catalog.ProductSighting
	Price   *catalog.PriceSighting
	// ObjectID is Stripe's id of the object.
	ObjectID  string
	RequestID string
	// Replayed is true if Stripe answered from its memory of an earlier call with the same key.
	Replayed bool
	Took     time.Duration
}

// Apply makes the call of a step. Parameters that refer to a price must have been resolved. Before runs when the
// call's turn in the account's rate has come, just before it is made; if it fails, it is not made. The error is for
// Classify.
func (c *Client) Apply(ctx context.Context, step catalog.Step, idempotencyKey string,
	before func() error,
) (*Applied, error) {
	if step.Kind == catalog.UpdatePrice && step.StripePriceID == "" {
		return nil, &NotSentError{fmt.Errorf("step %q is about a price that Stripe does not hold yet", step)}
	}
	withPrice := step.Kind == catalog.CreateProduct && step.PriceID != ""
	version, spelt := "", pinnedName
	if withPrice {
		version, spelt = inlinePriceVersion, func(name string) string { return name }
	}
	body := &form.Values{}
	for _, p := range step.Params {
		if p.PriceRef != "" {
			return nil, &NotSentError{fmt.Errorf("step %q refers to price %s, which Stripe does not hold yet", step,
				p.PriceRef)}
		}
		body.Add(spelt(p.Name), p.Value)
	}
	product := step.Kind == catalog.CreateProduct || step.Kind == catalog.UpdateProduct
	id := step.StripePriceID
	// What is not expanded, the answer leaves out.
	if product {
		id = step.StripeProduct()
		if withPrice {
			body.Add("expand[0]", "default_price.currency_options")
		}
	} else {
		body.Add("expand[0]", "tiers")
		body.Add("expand[1]", "currency_options")
	}
	start := time.Now()
	a, err := c.call(ctx, version, endpoints[step.Kind], id, idempotencyKey, body, before)
	if err != nil {
		return nil, err
	}
	out := &Applied{
		RequestID: a.LastResponse.RequestID, Took: time.Since(start),
		Replayed: a.LastResponse.Header.Get("Idempotent-Replayed") == "true",
	}
	if product {
		s, err := DecodeProduct(a.body(), a.seen())
		if err != nil {
			return nil, err
		}
		out.Product, out.ObjectID = &s, step.StripeProduct()
		if withPrice {
			out.Price, err = decodeDefaultPrice(a.body(), a.seen())
		}
		return out, err
	}
	s, _, err := DecodePrice(a.body(), a.seen())
	if err != nil {
		return nil, err
	}
	out.Price, out.ObjectID = &s, s.StripeID
	return out, nil
}

// pinnedName writes a parameter's name as API version 2023-10-16, the one of stripe-go v76, spells it.
func pinnedName(name string) string {
	if rest, ok := strings.CutPrefix(name, "marketing_features"); ok {
		return "features" + rest
	}
	return name
}
