package push

import (
	"context"

	"github.com/driftless-sync/driftless/services/internal/doctor/probe/stripeprobe"
	"github.com/driftless-sync/driftless/services/internal/doctor/selfcheck"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// selfChecker returns what makes the checks of this process.
func selfChecker(cfg Config, m *mesh.Mesh) *selfcheck.Checker {
	account := stripeprobe.New(stripeprobe.Config{
		Account: cfg.Account,
		Client:  cfg.Stripe,
		Mode: func(ctx context.Context) (string, error) {
			return state.New(m).Record(topology.KeyStripeMode, cfg.Account).GetString(ctx)
		},
	})
	return selfcheck.New(selfcheck.Config{
		Service:  topology.Push,
		Mesh:     m,
		NATS:     cfg.NATS,
		Ready:    m.Ready,
		Interval: cfg.SelfCheck,
		Rare:     account.OfPush(),
	})
}
