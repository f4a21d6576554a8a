package stripeapi

import (
	"context"
	"fmt"
	"strings"
)

// Mode of a key: what is made with a test key exists in test mode only.
type Mode string

// Stripe's modes.
const (
	Live Mode = "live"
	Test Mode = "test"
)

// KeyMode tells a secret or restricted key's mode from its prefix.
func KeyMode(key string) (Mode, error) {
	for _, kind := range []string{"sk_", "rk_"} {
		for _, mode := range []Mode{Live, Test} {
			if strings.HasPrefix(key, kind+string(mode)+"_") {
				return mode, nil
			}
		}
	}
	return "", fmt.Errorf("STRIPE_API_KEY must be a secret key (sk_test_..., sk_live_...) or a restricted one (rk_test_..., rk_live_...)")
}

// Position is where the mode of an account is remembered.
type Position interface {
	GetString(ctx context.Context) (string, error)
	PutString(ctx context.Context, s string) error
}

// CheckMode refuses a key of another mode than the one the account's state was made with: what is known of the
// objects of one mode says nothing about the other. The first key decides.
func CheckMode(ctx context.Context, at Position, account, key string) error {
	mode, err := KeyMode(key)
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
		return fmt.Errorf("STRIPE_API_KEY is a %s key, but account %q of this mesh was set up in %s mode: set a %s key, or give the %s mode an account name or a NATS server of its own",
			mode, account, known, known, mode)
	}
	return nil
}
