package stripeapi

import (
	"context"
	"fmt"

	"github.com/driftless-sync/driftless/services/internal/config"
)

// ModeStore stores the mode of an account.
type ModeStore interface {
	GetString(ctx context.Context) (string, error)
	PutString(ctx context.Context, s string) error
}

// CheckMode refuses a key of another mode than the account's state was made with: the objects of one mode say nothing
// about those of the other. The first key decides.
func CheckMode(ctx context.Context, at ModeStore, account, key string) error {
	mode, err := config.KeyModeOf(key)
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
			"STRIPE_API_KEY is a %s key, but account %q of this mesh was set up in %s mode: set a %s key, or give the %s mode an account name or a NATS server of its own",
			mode, account, known, known, mode)
	}
	return nil
}
