package cli

import (
	"context"
	"errors"
	"net/url"
	"strconv"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/driftless-sync/driftless/services/internal/stripeapi"
	"github.com/driftless-sync/driftless/services/stripesim"
)

// addSubscriptions makes subscriptions at a product's only price.
func addSubscriptions(ts *testscript.TestScript, _ bool, args []string) {
	usage(ts, len(args) == 2, "subscribe PRODUCT NUMBER")
	m := stateOf(ts).running(ts)
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	price, err := m.priceOf(args[0])
	ts.Check(err)
	for range n {
		_, err := m.sim.CreateSubscription(m.t.Context(), url.Values{"items[0][price]": {price}})
		ts.Check(err)
	}
}

// addPaymentLink makes a payment link that sells a product's only price.
func addPaymentLink(ts *testscript.TestScript, _ bool, args []string) {
	usage(ts, len(args) == 1, "sell PRODUCT")
	m := stateOf(ts).running(ts)
	price, err := m.priceOf(args[0])
	ts.Check(err)
	_, err = m.sim.CreatePaymentLink(m.t.Context(), url.Values{"line_items[0][price]": {price}})
	ts.Check(err)
}

// forbidReads makes the key lack a permission.
func forbidReads(ts *testscript.TestScript, _ bool, args []string) {
	usage(ts, len(args) == 1, "forbid PATH")
	m := stateOf(ts).running(ts)
	_, err := m.sim.AddFault(m.t.Context(), stripesim.Fault{Kind: stripesim.FaultForbidden, Path: args[0]})
	ts.Check(err)
}

func (m *testMesh) priceOf(product string) (string, error) {
	return firstPrice(m.t.Context(), stripeapi.New(stripeapi.Config{Key: simulatorKey, Base: m.sim.BaseURL}), product)
}

func firstPrice(ctx context.Context, client *stripeapi.Client, product string) (string, error) {
	for price, err := range client.ListPrices(ctx, true, product) {
		return price.StripeID, err
	}
	return "", errors.New("the product has no active price")
}
