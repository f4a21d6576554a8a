package cli

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/driftless-sync/driftless/services/internal/stripeapi"
	"github.com/driftless-sync/driftless/services/stripesim"
)

// addSubscriptions makes subscriptions at a product's only active price.
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

// addPaymentLink makes a payment link that sells a product's only active price.
func addPaymentLink(ts *testscript.TestScript, _ bool, args []string) {
	usage(ts, len(args) == 1, "sell PRODUCT")
	m := stateOf(ts).running(ts)
	price, err := m.priceOf(args[0])
	ts.Check(err)
	_, err = m.sim.CreatePaymentLink(m.t.Context(), url.Values{"line_items[0][price]": {price}})
	ts.Check(err)
}

// forbidReads makes the key lack the permission to read below a path.
func forbidReads(ts *testscript.TestScript, _ bool, args []string) {
	usage(ts, len(args) == 1, "forbid PATH")
	m := stateOf(ts).running(ts)
	_, err := m.sim.AddFault(m.t.Context(), stripesim.Fault{
		Kind:   stripesim.FaultForbidden,
		Method: http.MethodGet,
		Path:   args[0],
	})
	ts.Check(err)
}

// priceOf returns a product's only active price.
func (m *testMesh) priceOf(product string) (string, error) {
	client := stripeapi.New(stripeapi.Config{Key: simulatorKey, Base: m.sim.BaseURL})
	only := ""
	for price, err := range client.ListPrices(m.t.Context(), true, product) {
		switch {
		case err != nil:
			return "", fmt.Errorf("price of product %s: %w", product, err)
		case only != "":
			return "", fmt.Errorf("product %s has more than one active price", product)
		}
		only = price.StripeID
	}
	if only == "" {
		return "", fmt.Errorf("product %s has no active price", product)
	}
	return only, nil
}
