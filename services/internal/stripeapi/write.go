package stripeapi

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/stripe/stripe-go/v76/form"

	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// endpoints are Stripe's operations for the steps. Stripe counts all ids of an operation together.
var endpoints = map[catalog.StepKind]string{
	catalog.CreateProduct: "POST /v1/products",
	catalog.UpdateProduct: "POST /v1/products/{id}",
	catalog.CreatePrice:   "POST /v1/prices",
	catalog.UpdatePrice:   "POST /v1/prices/{id}",
}

// inlinePriceVersion is the API version that added metadata to default_price_data
// (docs.stripe.com/changelog/acacia/2025-02-24/products-default-price-data-metadata-field). Older versions may accept
// it too. Stripe calls a new optional parameter backward-compatible and does not bind it to a version. Its products
// differ from the pinned version's only in the name of the features. DecodeProduct reads both names.
const inlinePriceVersion = "2025-02-24.acacia"

// Applied is the answer to a step.
type Applied struct {
	// Product or Price is the object of the step as Stripe holds it now. Both are set for a product that was created
	// with its default price, unless Stripe did not show the price.
	Product *catalog.ProductSighting
	Price   *catalog.PriceSighting
	// ObjectID is Stripe's id of the object.
	ObjectID  string
	RequestID string
	// Replayed is true if Stripe replayed the answer of an earlier call with the same key.
	Replayed bool
	// Took includes the time that the call waited for its turn in the account's rate, which is Waited.
	Took, Waited time.Duration
	// SentAt is when the request was sent.
	SentAt time.Time
}

// Apply makes the call of a step. Parameters that refer to a price must have been resolved. before runs when the call's
// turn in the account's rate has come. If it fails, the call is not made. Classify takes the error.
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
	// The answer leaves out fields that are not expanded.
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
		RequestID: a.LastResponse.RequestID, Took: time.Since(start), Waited: a.waited, SentAt: a.sentAt,
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

// pinnedName returns a parameter's name as API version 2023-10-16, the one of stripe-go v76, spells it.
func pinnedName(name string) string {
	if rest, ok := strings.CutPrefix(name, "marketing_features"); ok {
		return "features" + rest
	}
	return name
}
