package config

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/driftless-sync/driftless/services/internal/redact"
)

// publishedSecrets are signing secrets that are or were in this repository. Anybody can sign events with them. They
// include those of tests, which get copied.
var publishedSecrets = []string{
	"whsec_compose_trial", "whsec_driftless_simulator", "whsec_test_kubernetes",
	"whsec_bench", "whsec_e2e", "whsec_mine", "whsec_new", "whsec_old", "whsec_other", "whsec_wrong", "whsec_1",
	"whsec_2", "whsec_a", "whsec_b",
}

// CheckWebhookSecrets refuses a published signing secret if the events come from Stripe itself. base is the address of
// the API, Stripe's if empty. A simulator has no TLS, so an https address is Stripe's, or leads to it.
func CheckWebhookSecrets(base string, secrets []string) error {
	if IsSimulator(base) {
		return nil
	}
	for _, secret := range secrets {
		if slices.Contains(publishedSecrets, secret) {
			return fmt.Errorf(
				"STRIPE_WEBHOOK_SECRET has a secret that is published in the repository of Driftless, with which anybody can sign events, "+
					"and STRIPE_API_BASE (%s) is not a simulator: set the signing secret of your endpoint (driftless "+
					"webhook create)", redact.URL(base))
		}
	}
	return nil
}

// IsSimulator reports whether the address of Stripe's API is that of a simulator. Stripe itself asks for TLS.
func IsSimulator(base string) bool {
	u, err := url.Parse(base)
	return err == nil && u.Scheme == "http" && !strings.EqualFold(u.Hostname(), "api.stripe.com")
}
