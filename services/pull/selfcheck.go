package pull

import (
	"context"

	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/doctor"
	"github.com/driftless-sync/driftless/services/internal/doctor/probe/stripeprobe"
	"github.com/driftless-sync/driftless/services/internal/doctor/selfcheck"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// selfChecker returns what makes the checks of this process.
func selfChecker(cfg Config, m *mesh.Mesh) *selfcheck.Checker {
	version := ""
	if config.IsSimulator(cfg.Stripe.Base) {
		// The simulator's default is the version that pull reads.
		version = stripeapi.PinnedVersion
	}
	account := stripeprobe.New(stripeprobe.Config{
		Account:        cfg.Account,
		Client:         cfg.Stripe,
		WebhookPath:    WebhookPath,
		DefaultVersion: version,
		Mode: func(ctx context.Context) (string, error) {
			return state.New(m).Record(topology.KeyStripeMode, cfg.Account).GetString(ctx)
		},
	})
	return selfcheck.New(selfcheck.Config{
		Service:  topology.Pull,
		Mesh:     m,
		NATS:     cfg.NATS,
		Ready:    m.Ready,
		Interval: cfg.SelfCheck,
		Probes:   []doctor.Probe{stripeprobe.Secrets(cfg.Stripe.Base, cfg.WebhookSecrets)},
		Rare:     account.OfPull(),
	})
}
