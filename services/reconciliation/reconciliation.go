// Package reconciliation is the service that knows whether catalog and Stripe agree. It follows both sides and keeps
// the ledger. A difference that outlasts the grace period is drift: the service has it repaired, or reports it. It also
// serves the control API to operators.
//
// It alone touches the ledger database. It touches neither Stripe nor the catalog: it sends commands for repairs and
// scans to the services that do.
package reconciliation

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/nats-io/nuid"
	"golang.org/x/sync/errgroup"

	"github.com/driftless-sync/driftless/services/internal/auth"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/guard"
	"github.com/driftless-sync/driftless/services/internal/heartbeat"
	"github.com/driftless-sync/driftless/services/internal/httpserver"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/postgres"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/command"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/control"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/notify"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/view"
)

// Config configures the service.
type Config struct {
	// Account is the name of the Stripe account in subjects.
	Account string
	NATS    mesh.Config
	// LedgerURL is the ledger's Postgres database.
	LedgerURL string
	// LedgerURLFile is the file that LedgerURL was read from. It is read again at every connection. Empty for none.
	LedgerURLFile string
	// CheckMigrations checks the ledger's tables instead of creating them, for a setup in which Migrate created them.
	CheckMigrations bool
	// HTTP serves the control API, health and metrics.
	HTTP httpserver.Config
	// Auth are the tokens that the control API accepts. The zero value asks for none.
	Auth auth.Settings
	// GracePeriod is how long catalog and Stripe may differ before the difference is drift. Defaults to 30 s.
	GracePeriod time.Duration
	// ScanInterval is the time between full scans of Stripe. Zero disables them.
	ScanInterval time.Duration
	// Policy says which side is right where they differ. Nil means that the catalog owns everything. Push must have the
	// same policy.
	Policy *catalog.Policy
	// Extras says what is done about active products in Stripe that the catalog never had. Defaults to ExtrasIgnore.
	Extras Extras
	// Approvers is how many different people must approve a change that the guard holds. Defaults to 1. Push must have
	// the same number.
	Approvers int
	// CanWriteBack returns why the operator's tables cannot take a field from Stripe, which is named as in the policy:
	// "prices.nickname". Nil means that they take every field.
	CanWriteBack func(field string) error
	// Mapped reports whether the catalog is in the operator's tables, not in the built-in ones.
	Mapped bool
	// CanInsert returns why the operator's tables cannot get another row: a "product" or a "price". Nil means that they
	// can.
	CanInsert func(object string) error
	// Guard are push's rules. Reconciliation only forecasts what push would hold.
	Guard guard.Config
	// HistoryRetention is how long the audit trail, replaced states, closed drift and closed dead letters are kept.
	// Zero keeps them forever.
	HistoryRetention time.Duration
	// NoEvents stores and publishes no events for other programs.
	NoEvents bool
	// Notify says where notifications of problems are sent.
	Notify config.Notify
	// SelfCheck is the time between two looks of the process at its own part. 0 looks at nothing.
	SelfCheck time.Duration
	Logger    *slog.Logger
	// Now is the clock that decides when a difference is drift. Defaults to time.Now.
	Now func() time.Time
}

// Extras says what is done about active products in Stripe that the catalog never had.
type Extras = ledger.Extras

// The values of Extras.
const (
	ExtrasIgnore  = ledger.ExtrasIgnore
	ExtrasReport  = ledger.ExtrasReport
	ExtrasArchive = ledger.ExtrasArchive
	ExtrasImport  = ledger.ExtrasImport
)

// Each consumer runs this many transactions at once, of at most this many messages each. The ledger's row locks keep
// messages about one product apart.
const (
	concurrency = 2
	batchSize   = 128
)

// reconciler has the state that the parts of the service share.
type reconciler struct {
	Config
	mesh     *mesh.Mesh
	stores   *state.Stores
	ledger   *ledger.Ledger
	commands command.Issuer
	// progress is owned by the goroutine of watchDrift.
	progress view.PushProgress
	// due makes watchDrift act at once on drift that was found.
	due chan struct{}
	// outgoing makes publishOutbox publish at once what was stored.
	outgoing chan struct{}
	// outgoingEvents makes publishEvents publish at once what was stored.
	outgoingEvents chan struct{}
	// view reads the state of the other services.
	view *view.Reader
	// linksMissing says which adopted products have no link. Nil if each has its link.
	linksMissing atomic.Pointer[string]
	// undecodable are the messages of the ledger that cannot be published. Nil if there are none.
	undecodable atomic.Pointer[ledger.UndecodableError]
	// replaced makes watchContinuity look at once at a ledger that seems to be another one.
	replaced chan struct{}
	// positions are the consumers as they were when their positions were stored last, at the time advanced. Owned by
	// the goroutine of watchContinuity.
	positions map[topology.Consumer]consumerMark
	advanced  time.Time
	// lasts are the streams when they were read last. Owned by the same goroutine.
	lasts map[string]mesh.StreamState
	// looks are the last looks for removed messages by stream. Owned by the same goroutine.
	looks map[string]look
	// readAdvanced is when a reread last stored how far the streams are read. Owned by the same goroutine.
	readAdvanced time.Time
	// commanded are the commands of a rebase. Owned by the same goroutine.
	commanded rebaseCommands
	// holder identifies the process when it reads again what the ledger lacks.
	holder string
}

// Run reconciles until ctx ends. It returns an error at once if NATS or the ledger cannot be reached, or if the
// topology is missing.
func Run(ctx context.Context, cfg Config) error {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.GracePeriod == 0 {
		cfg.GracePeriod = 30 * time.Second
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.LedgerURL == "" {
		return errors.New(
			"neither LEDGER_DATABASE_URL nor DATABASE_URL is set: set one to the ledger's Postgres database, such as postgres://user:password@host:5432/database")
	}
	cfg.NATS.Account = cfg.Account
	m, err := mesh.Connect(ctx, cfg.NATS)
	if err != nil {
		return err
	}
	defer m.Close()
	if err := m.Bind(ctx, topology.ReconciliationCatalog, topology.ReconciliationObserved,
		topology.ReconciliationStripe, topology.ReconciliationSync, topology.ReconciliationDead); err != nil {
		return err
	}
	makeTables := func(ctx context.Context, url string) error { return ledger.Migrate(ctx, url, "") }
	if cfg.CheckMigrations {
		makeTables = func(ctx context.Context, url string) error {
			return ledger.Check(ctx, postgres.Database{
				URL:     url,
				File:    cfg.LedgerURLFile,
				Setting: "LEDGER_DATABASE_URL",
			})
		}
	}
	if err := makeTables(ctx, cfg.LedgerURL); err != nil {
		return err
	}
	r := &reconciler{
		Config:   cfg,
		mesh:     m,
		stores:   state.New(m),
		commands: command.Issuer{Mesh: m, Account: cfg.Account, Now: cfg.Now},
		due:      make(chan struct{}, 1),
		outgoing: make(chan struct{}, 1),

		outgoingEvents: make(chan struct{}, 1),

		replaced:  make(chan struct{}, 1),
		positions: map[topology.Consumer]consumerMark{},
		lasts:     map[string]mesh.StreamState{},
		looks:     map[string]look{},
		holder:    nuid.Next(),
	}
	l, err := ledger.OpenMigrated(ctx,
		postgres.Database{URL: cfg.LedgerURL, File: cfg.LedgerURLFile, Logger: cfg.Logger},
		ledger.Config{
			Account:  cfg.Account,
			Policy:   cfg.Policy,
			Extras:   cfg.Extras,
			NoEvents: cfg.NoEvents,
			Listener: listener{r},
			Now:      cfg.Now,
		})
	if err != nil {
		return err
	}
	defer l.Close()
	r.ledger = l
	if err := r.verifyLedger(ctx); err != nil {
		return err
	}
	r.view = view.New(m, cfg.Account, r.ledgerUnknown, r.linksUnknown, cfg.Logger)
	if encoding, err := l.Encoding(ctx); err == nil && encoding != "UTF8" {
		cfg.Logger.Warn(
			"the ledger's database cannot store every character that Stripe may send: set LEDGER_DATABASE_URL to a database with encoding UTF8", "encoding", encoding)
	}
	defer r.observe()()

	notifier, err := notify.New(notify.Config{
		Account:  cfg.Account,
		Settings: cfg.Notify,
		Others:   (&accountProblems{reconciler: r}).open,
		Ledger:   l,
		Logger:   cfg.Logger,
		Now:      cfg.Now,
	})
	if err != nil {
		return err
	}
	tokens, err := auth.NewTokens(cfg.Auth, cfg.Logger)
	if err != nil {
		return err
	}
	r.HTTP.Handler = control.Handler(control.Config{
		Account:      cfg.Account,
		Tokens:       tokens,
		Version:      cfg.NATS.Version,
		Mesh:         m,
		Stores:       r.stores,
		Ledger:       l,
		Commands:     r.commands,
		View:         r.view,
		Unpublished:  r.unpublished,
		Notifier:     notifier,
		Approvers:    cfg.Approvers,
		CanWriteBack: cfg.CanWriteBack,
		Mapped:       cfg.Mapped,
		CanInsert:    cfg.CanInsert,
		Guard:        cfg.Guard,
		Policy:       cfg.Policy,
		Stopping:     ctx.Done(),
		Now:          cfg.Now,
		Logger:       cfg.Logger,
	})
	r.HTTP.Ready = func(ctx context.Context) error { return errors.Join(m.Ready(ctx), l.Ready(ctx)) }
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return m.Closed(ctx) })
	g.Go(func() error { return httpserver.Run(ctx, r.HTTP) })
	checker := r.selfChecker()
	g.Go(func() error { return checker.Run(ctx) })
	g.Go(func() error { return heartbeat.Run(ctx, r.heartbeat(checker)) })
	g.Go(func() error { return follow(ctx, r, topology.ReconciliationCatalog, r.desired, nil) })
	g.Go(func() error { return follow(ctx, r, topology.ReconciliationObserved, r.observed, r.forgetAdopted) })
	g.Go(func() error { return follow(ctx, r, topology.ReconciliationStripe, r.stripeEvent, nil) })
	g.Go(func() error { return follow(ctx, r, topology.ReconciliationSync, r.outcome, r.forgetStripeID) })
	g.Go(func() error { return follow(ctx, r, topology.ReconciliationDead, r.deadLetter, nil) })
	g.Go(func() error { return r.watchContinuity(ctx) })
	g.Go(func() error { return r.watchLinks(ctx) })
	g.Go(func() error { return r.watchDrift(ctx) })
	g.Go(func() error { return r.publishOutbox(ctx) })
	g.Go(func() error { return r.publishEvents(ctx) })
	g.Go(func() error { return r.view.Watch(ctx) })
	g.Go(func() error { return r.prune(ctx) })
	g.Go(func() error { return r.beginPastStates(ctx) })
	g.Go(func() error { return r.backfill(ctx) })
	g.Go(func() error { return r.scheduleScans(ctx) })
	g.Go(func() error { return notifier.Run(ctx) })
	cfg.Logger.Info("reconciliation is running", "account", cfg.Account, "grace", cfg.GracePeriod)
	err = g.Wait()
	r.lastAdvance(context.WithoutCancel(ctx))
	return err
}
