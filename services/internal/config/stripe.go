package config

import (
	"errors"
	"strings"
)

// KeyMode is the mode of a Stripe key. Objects of one mode do not exist in the other.
type KeyMode string

// Stripe's modes.
const (
	LiveMode KeyMode = "live"
	TestMode KeyMode = "test"
)

// KeyModeOf returns the mode of a secret or restricted key by its prefix.
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

// accountRate is the number of calls per second that Stripe allows an account, by mode
// (https://docs.stripe.com/rate-limits).
var accountRate = map[KeyMode]float64{LiveMode: 100, TestMode: 25}

// Rate returns the maximum number of calls per second to the account, of all processes together.
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
