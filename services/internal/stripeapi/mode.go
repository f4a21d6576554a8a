package stripeapi

import (
	"context"
	"errors"
	"fmt"
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

// AccountRate returns the default limit of calls per second of the key's account. A key that cannot be parsed has the
// limit of test mode, the lower one.
func AccountRate(key string) float64 {
	mode, err := KeyModeOf(key)
	if err != nil {
		mode = TestMode
	}
	return accountRate[mode]
}

// ModeStore stores the mode of an account.
type ModeStore interface {
	GetString(ctx context.Context) (string, error)
	PutString(ctx context.Context, s string) error
}

// CheckMode refuses a key of another mode than the account's state was made with: the objects of one mode say nothing
// about those of the other. The first key decides.
func CheckMode(ctx context.Context, at ModeStore, account, key string) error {
	mode, err := KeyModeOf(key)
	if err != nil {
		return err
	}
	known, err := at.GetString(ctx)
	if err != nil {
		return err
	}
	if known == "" {
		return at.PutString(ctx, string(mode))
	}
	if known != string(mode) {
		return fmt.Errorf(
			"STRIPE_API_KEY is a %s key, but account %q of this mesh was set up in %s mode: set a %s key, or give "+
				"the %s mode an account name or a NATS server of its own",
			mode, account, known, known, mode)
	}
	return nil
}
