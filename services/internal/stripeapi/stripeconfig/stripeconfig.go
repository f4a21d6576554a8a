// Package stripeconfig converts the settings of a program to the configuration of package stripeapi. It keeps the
// schema of the settings out of the packages that call Stripe.
package stripeconfig

import (
	"cmp"

	"github.com/driftless-sync/driftless/services/internal/budget"
	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
)

// Client returns the configuration of a client, without a budget.
func Client(s config.Stripe) stripeapi.Config {
	return stripeapi.Config{Key: s.StripeAPIKey.Reveal(), Base: s.StripeAPIBase, StripeAccount: s.StripeAccount}
}

// Limits returns the limits of the account, which all processes share. The rate defaults to that of the key's mode.
func Limits(s config.Stripe) budget.Limits {
	return budget.Limits{
		PerSecond:     cmp.Or(s.StripeRate, stripeapi.AccountRate(s.StripeAPIKey.Reveal())),
		PerEndpoint:   s.StripeEndpointRate,
		ReadAllowance: s.StripeReadAllowance,
	}
}
