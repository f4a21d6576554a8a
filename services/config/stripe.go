package config

import (
	"errors"
	"strings"
)

// KeyMode is the mode of a Stripe key: what is made in one does not exist in the other.
type KeyMode string

// Stripe's modes.
const (
	LiveMode KeyMode = "live"
	TestMode KeyMode = "test"
)

// ModeOf tells a secret or restricted key's mode from its prefix.
func ModeOf(key string) (KeyMode, error) {
	for _, kind := range []string{"sk_", "rk_"} {
		for _, mode := range []KeyMode{LiveMode, TestMode} {
			if strings.HasPrefix(key, kind+string(mode)+"_") {
				return mode, nil
			}
		}
	}
	return "", errors.New("STRIPE_API_KEY must be a secret key (sk_test_..., sk_live_...) or a restricted one (rk_test_..., rk_live_...)")
}

// Rates are calls per second: in all, and of one endpoint.
type Rates struct{ PerSecond, PerEndpoint float64 }

// Rate of the whole account that Stripe allows, by mode (https://docs.stripe.com/rate-limits).
var accountRate = map[KeyMode]float64{LiveMode: 100, TestMode: 25}

// PullRates is pull's share of the account's rates.
func (s Stripe) PullRates() Rates { return s.rates(s.StripePullShare) }

// PushRates is push's share of the account's rates.
func (s Stripe) PushRates() Rates { return s.rates(1 - s.StripePullShare) }

// rates of a share. Push and pull call different endpoints but for the few that push reads, so each may use most of
// an endpoint's rate; those few are why it is not all.
func (s Stripe) rates(share float64) Rates {
	perSecond := s.StripeRate
	if perSecond == 0 {
		mode, err := ModeOf(s.StripeAPIKey.Reveal())
		if err != nil {
			mode = TestMode
		}
		perSecond = accountRate[mode]
	}
	return Rates{PerSecond: perSecond * share, PerEndpoint: s.StripeEndpointRate * share}
}
