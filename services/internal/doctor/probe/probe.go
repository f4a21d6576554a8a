package probe

import (
	"context"
	"time"

	"github.com/driftless-sync/driftless/services/internal/doctor"
	"github.com/driftless-sync/driftless/services/internal/doctor/probe/databaseprobe"
	"github.com/driftless-sync/driftless/services/internal/doctor/probe/natsprobe"
	"github.com/driftless-sync/driftless/services/internal/doctor/probe/stripeprobe"
	"github.com/driftless-sync/driftless/services/internal/postgres"
)

// NATS says how to reach NATS, and what it should have.
type NATS struct {
	natsprobe.Config

	// Monitors are the addresses of the servers' monitoring ports, such as http://nats:8222.
	Monitors []string
	// SyncsAlways reports whether the server is known to write to the disk before it acknowledges.
	SyncsAlways bool
}

// Config says what to look at.
type Config struct {
	// Account is the name of the Stripe account in the mesh.
	Account string
	Catalog databaseprobe.Database
	// Slot is the name of ingestion's replication slot.
	Slot   string
	Ledger databaseprobe.Database
	// CheckLedger returns an error if the tables of the ledger are not up to date.
	CheckLedger func(context.Context, postgres.Database) error
	NATS        NATS
	Stripe      stripeprobe.Config
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
	cfg.NATS.Now, cfg.Stripe.Now, cfg.Catalog.Now = cfg.Now, cfg.Now, cfg.Now
	nats := natsprobe.New(cfg.NATS.Config)
	cfg.Stripe.Account = cfg.Account
	cfg.Stripe.Mode = func(ctx context.Context) (string, error) { return nats.StripeMode(ctx, cfg.Account) }
	stripe := stripeprobe.New(cfg.Stripe)
	probes = append(probes, databaseprobe.Catalog(cfg.Catalog, cfg.Slot, cfg.Patience)...)
	probes = append(probes, databaseprobe.Ledger(cfg.Ledger, cfg.CheckLedger)...)
	probes = append(probes, nats.Probes()...)
	probes = append(probes, doctor.Probe{
		Name: "NATS' writes to the disk", Covers: []string{doctor.NATSSync}, Run: cfg.NATS.lookAtSync,
	})
	probes = append(probes, stripe.All()...)
	probes = append(probes, doctor.ProbeClocks(cfg.Catalog.Clock(), nats.Clock(), stripe.Clock()))
	probes = append(probes, cfg.Services.probes(nats, cfg.NATS.Monitors)...)
	return probes, nats.Close
}
