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

// KeyModeOf tells a secret or restricted key's mode from its prefix.
func KeyModeOf(key string) (KeyMode, error) {
	for _, kind := range []string{"sk_", "rk_"} {
		for _, mode := range []KeyMode{LiveMode, TestMode} {
			if strings.HasPrefix(key, kind+string(mode)+"_") {
				return mode, nil
			}
		}
	}
	return "", errors.New(
		"STRIPE_API_KEY must be a secret key (sk_test_..., sk_live_...) or a restricted one (rk_test_..., rk_live_...)")
}

// accountRate of calls per second that Stripe allows an account, by mode (https://docs.stripe.com/rate-limits).
var accountRate = map[KeyMode]float64{LiveMode: 100, TestMode: 25}

// Rate is how many calls a second all processes together may make with the account.
func (s Stripe) Rate() float64 {
	if s.StripeRate != 0 {
		return s.StripeRate
	}
	mode, err := KeyModeOf(s.StripeAPIKey.Reveal())
	if err != nil {
		mode = TestMode
	}
	return accountRate[mode]
}
