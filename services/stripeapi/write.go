package stripeapi

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/stripe/stripe-go/v76/form"

	"github.com/driftless-sync/driftless/services/catalog"
)

// endpoints are Stripe's operations for steps; all ids share the bucket of one.
var endpoints = map[catalog.StepKind]string{
	catalog.CreateProduct: "POST /v1/products",
	catalog.UpdateProduct: "POST /v1/products/{id}",
	catalog.CreatePrice:   "POST /v1/prices",
	catalog.UpdatePrice:   "POST /v1/prices/{id}",
}

// Applied is the answer to a step.
type Applied struct {
	// One of them is set: what Stripe holds now.
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
func (c *Client) Apply(ctx context.Context, step catalog.Step, idempotencyKey string, before func() error) (*Applied, error) {
	body := &form.Values{}
	for _, p := range step.Params {
		if p.PriceRef != "" {
			return nil, &NotSentError{fmt.Errorf("step %q refers to price %s, which Stripe does not hold yet", step, p.PriceRef)}
		}
		body.Add(pinnedName(p.Name), p.Value)
	}
	product := step.Kind == catalog.CreateProduct || step.Kind == catalog.UpdateProduct
	id := step.StripePriceID
	if product {
		id = step.ProductID
	} else {
		// Else the answer leaves them out.
		body.Add("expand[0]", "tiers")
		body.Add("expand[1]", "currency_options")
	}
	start := time.Now()
	a, err := c.call(ctx, endpoints[step.Kind], id, idempotencyKey, body, before)
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
		out.Product, out.ObjectID = &s, step.ProductID
		return out, nil
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
