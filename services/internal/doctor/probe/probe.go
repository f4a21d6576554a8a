package probe

import (
	"context"
	"time"

	"github.com/driftless-sync/driftless/services/internal/doctor"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// clockStream is a stream that every user may ask about.
const clockStream = "KV_" + topology.BucketCursor

// Config says what to look at.
type Config struct {
	// Account is the name of the Stripe account in the mesh.
	Account string
	Catalog Database
	// Slot is the name of ingestion's replication slot.
	Slot   string
	Ledger Database
	// CheckLedger returns an error if the tables of the ledger are not up to date.
	CheckLedger func(ctx context.Context, url string) error
	NATS        NATS
	Stripe      Stripe
	Services    Services
	// Now is the clock of this machine. Defaults to time.Now.
	Now func() time.Time
	// Patience is how long something may be missing that a service that restarts, or a standby that takes over, brings
	// back. Defaults to 3 s.
	Patience time.Duration
}

const defaultPatience = 3 * time.Second

// All returns all probes but those of the settings and of the mapping. Call done when they have run.
func All(cfg Config) (probes []doctor.Probe, done func()) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Patience == 0 {
		cfg.Patience = defaultPatience
	}
	cfg.Services.patience = cfg.Patience
	nats := &connection{NATS: cfg.NATS}
	stripe := newAccount(cfg.Account, cfg.Stripe, cfg.Now)
	probes = append(probes, catalog(cfg.Catalog, cfg.Slot, cfg.Patience)...)
	probes = append(probes, ledger(cfg.Ledger, cfg.CheckLedger)...)
	probes = append(probes, nats.probes()...)
	probes = append(probes, stripe.probes(nats)...)
	probes = append(probes, clocks{cfg.Catalog, nats, stripe, cfg.Now}.probe())
	probes = append(probes, cfg.Services.probes(nats)...)
	return probes, nats.close
}
