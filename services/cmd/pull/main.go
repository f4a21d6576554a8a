// Command pull receives Stripe's webhooks, polls its events, and scans it.
package main

import (
	"context"

	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/doctor/selfcheck"
	"github.com/driftless-sync/driftless/services/internal/service"
	"github.com/driftless-sync/driftless/services/internal/stripeapi/stripeconfig"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/pull"
)

func main() {
	var s config.PullService
	service.Main(topology.Pull, "Receives Stripe's webhooks, polls its events, and scans it.", &s,
		func(ctx context.Context, r service.Runtime) error {
			return pull.Run(ctx, pull.Config{
				Account:        s.Account,
				NATS:           r.NATS(topology.Pull, s.Mesh, s.Signing),
				Stripe:         stripeconfig.Client(s.Stripe),
				Limits:         stripeconfig.Limits(s.Stripe),
				WebhookSecrets: s.StripeWebhookSecret.Reveal(),
				PollInterval:   s.PollInterval,
				HTTP:           r.HTTP(s.PullAddr),
				SelfCheck:      selfcheck.Interval,
				Logger:         r.Logger,
			})
		})
}
