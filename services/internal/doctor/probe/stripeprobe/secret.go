package stripeprobe

import (
	"context"
	"strings"

	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/doctor"
)

// Secrets is the probe that looks at the signing secrets of webhooks, without asking anybody. base is the address of
// Stripe's API.
func Secrets(base string, secrets []string) doctor.Probe {
	return doctor.Probe{
		Name: "the webhook secret", Covers: []string{doctor.ConfigWebhookSecret},
		Run: func(_ context.Context, r *doctor.Recorder) error {
			if len(secrets) == 0 {
				r.Foundf(doctor.ConfigWebhookSecret, "", "STRIPE_WEBHOOK_SECRET is not set")
			}
			for i, secret := range secrets {
				if !strings.HasPrefix(secret, "whsec_") {
					r.Foundf(doctor.ConfigWebhookSecret, "",
						"secret %d of STRIPE_WEBHOOK_SECRET does not begin with whsec_", i+1)
				}
			}
			if err := config.CheckWebhookSecrets(base, secrets); err != nil {
				r.Foundf(doctor.ConfigWebhookSecret, "", "%v", err)
			}
			return nil
		},
	}
}
