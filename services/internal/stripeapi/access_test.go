package stripeapi

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v76"
)

func TestAccess_KnowsWhichOperationsAreRefused(t *testing.T) {
	var a access
	status := func(code int) error { return &stripe.Error{HTTPStatusCode: code} }
	a.note("GET /v1/events", status(403))
	a.note("GET /v1/products/{id}", nil)
	require.Equal(t, map[string]bool{"GET /v1/events": true, "GET /v1/products/{id}": false}, a.refused,
		"a restricted key may lack a single permission")
	for _, err := range []error{status(429), status(503), errors.New("connection reset")} {
		a.note("GET /v1/events", err)
		require.True(t, a.refused["GET /v1/events"], "%v says nothing about the key", err)
	}
	a.note("GET /v1/events", status(404))
	require.False(t, a.refused["GET /v1/events"], "Stripe has accepted the key")
	a.note("GET /v1/events", status(401))
	require.True(t, a.refused["GET /v1/events"])
}
