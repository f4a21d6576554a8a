package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/driftless-sync/driftless/services/internal/durable"
	"github.com/driftless-sync/driftless/services/stripesim"
)

// Settings of the simulator of a mesh on one machine.
const (
	simulatorKey  = "sk_test_driftlesssimulator"
	simulatorFile = "stripe.journal"
	simulatorRate = 100.0 // calls per second
)

// simulatorDefaults are the values of settings that are not set if Stripe is the simulator, by their variables. The
// simulator has no read allowance, and a person waits for polls and repairs.
var simulatorDefaults = []struct{ flag, variable, value string }{
	{"stripe-read-allowance", "STRIPE_READ_ALLOWANCE", "0"},
	{"poll-interval", "DRIFTLESS_POLL_INTERVAL", "2s"},
	{"grace-period", "DRIFTLESS_GRACE_PERIOD", "3s"},
}

// pinStripe records whether a data directory is used with the simulator or with Stripe itself, and refuses the
// other. The catalog of one, with its sample products, must not get into the other.
func pinStripe(dataDir string, hasKey bool) error {
	const simulator, stripe = "the simulator", "Stripe"
	now := simulator
	if hasKey {
		now = stripe
	}
	path := filepath.Join(dataDir, "stripe")
	known, err := os.ReadFile(path)
	switch before := strings.TrimSpace(string(known)); {
	case errors.Is(err, os.ErrNotExist):
		if err := durable.WriteFile(path, []byte(now+"\n"), 0o600); err != nil {
			return fmt.Errorf("data directory: %w", err)
		}
		return nil
	case err != nil:
		return fmt.Errorf("data directory: %w", err)
	case before == "":
		return emptyPin(path, now)
	case before != now:
		return fmt.Errorf(
			"data directory %s was used with %s, and now STRIPE_API_KEY says %s: set another with --data-dir, or remove it", dataDir, before, now)
	}
	return nil
}

func (u *up) startStripe() error {
	if u.StripeAPIKey != "" {
		u.endpoints.Stripe = u.StripeAPIBase
		return nil
	}
	secret, err := readOrCreateSecret(filepath.Join(u.dataDir, "webhook.secret"), "whsec_")
	if err != nil {
		return fmt.Errorf("the simulator's webhook secret: %w", err)
	}
	u.simulator = &stripesim.Config{
		Listener:     u.simulatorListener,
		AllowedHosts: u.AllowedHosts,
		DataFile:     filepath.Join(u.dataDir, simulatorFile),
		Logger:       u.logger,
		Webhooks:     []stripesim.Webhook{{URL: u.endpoints.Webhook + "/stripe/webhook", Secrets: []string{secret}}},
		// The limits of live mode. Stripe allows a quarter of that with a test key, as this key is.
		Limits: stripesim.Limits{PerSecond: simulatorRate, PerEndpoint: 25},
	}
	u.webhookSecret, u.endpoints.Simulated = secret, true
	return nil
}
