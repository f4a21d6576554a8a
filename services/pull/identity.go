package pull

import (
	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
)

// productOf is the catalog's id of the product that Stripe calls by this id: OBSERVED and STRIPE are keyed by it.
func (p *puller) productOf(stripeID string) string { return stripeID }

// stripeID is what Stripe calls the product of an observed state.
func stripeID(o *catalogv1.Observed) string { return o.GetProductId() }
