// Command push writes the catalog's products and prices to Stripe.
package main

import (
	"context"

	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/doctor/selfcheck"
	"github.com/driftless-sync/driftless/services/internal/service"
	"github.com/driftless-sync/driftless/services/internal/stripeapi/stripeconfig"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/push"
)

func main() {
	var s config.PushService
	service.Main(topology.Push, "Writes the catalog's products and prices to Stripe.", &s,
		func(ctx context.Context, r service.Runtime) error {
			policy, err := service.Policy(s.Policy, s.Config, r.Mapping)
			if err != nil {
				return err
			}
			return push.Run(ctx, push.Config{
				Account:        s.Account,
				NATS:           r.NATS(topology.Push, s.Mesh, s.Signing),
				Stripe:         stripeconfig.Client(s.Stripe),
				Limits:         stripeconfig.Limits(s.Stripe),
				HTTP:           r.HTTP(s.PushAddr),
				Concurrency:    s.PushConcurrency,
				Policy:         policy,
				Guard:          service.Guard(s.Guard),
				HoldCreations:  !s.PushCreate,
				TakeLookupKeys: s.TakeLookupKeys,
				SelfCheck:      selfcheck.Interval,
				Logger:         r.Logger,
			})
		})
}
