// Package ingestion is the service between the catalog database and CATALOG. It captures committed changes from the
// write-ahead log. It compares the tables with CATALOG once a day, and whenever capture may have missed a change. On
// command it writes Stripe's values back to the tables. It serves the API that writes the built-in tables.
//
// It is the only service that touches the catalog database. It has no Stripe key, and decides nothing about Stripe
// except whether Stripe would accept a product.
package ingestion

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.opentelemetry.io/otel/attribute"
	"golang.org/x/sync/errgroup"

	"github.com/driftless-sync/driftless/services/ingestion/internal/api"
	"github.com/driftless-sync/driftless/services/ingestion/internal/builtin"
	"github.com/driftless-sync/driftless/services/ingestion/internal/validation"
	"github.com/driftless-sync/driftless/services/ingestion/internal/wal"
	"github.com/driftless-sync/driftless/services/ingestion/internal/writeback"
	"github.com/driftless-sync/driftless/services/internal/auth"
	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/heartbeat"
	"github.com/driftless-sync/driftless/services/internal/httpserver"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/metrics"
	"github.com/driftless-sync/driftless/services/internal/postgres"
	"github.com/driftless-sync/driftless/services/internal/redact"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// Config of the service.
type Config struct {
	// Account is the name of the Stripe account in subjects.
	Account string
	NATS    mesh.Config
	// DatabaseURL of the catalog. DatabaseURLFile is the file that it was read from, empty for none: each connection
	// reads user and password from it again.
	DatabaseURL, DatabaseURLFile string
	// Mapping of the operator's own tables. Defaults to the built-in tables, which are created if they do not exist. A
	// mapping without queries adds its checks to them.
	Mapping *config.Mapping
	// Slot and Publication in the catalog database. They are created if they do not exist.
	Slot, Publication string
	// PricesArchiveAfter is how long a replaced price stays active, unless the products query says it for the product.
	PricesArchiveAfter time.Duration
	// AcceptDatabase is the system identifier of a Postgres server that replaces the one that was captured before.
	AcceptDatabase string
	// StripeIDs maintains the table driftless.stripe_ids. Mapping.WriteIDs switches it on, too.
	StripeIDs bool
	// CheckMigrations checks the built-in tables instead of creating them: Migrate created them.
	CheckMigrations bool
	// HTTP serves the API, health and metrics.
	HTTP httpserver.Config
	// Auth are the tokens that the API accepts. The zero value asks for none.
	Auth auth.Settings
	// SelfCheck is the time between two looks of the process at its own part. 0 looks at nothing.
	SelfCheck time.Duration
	Logger    *slog.Logger
}

// ingester holds what the parts of the service share.
type ingester struct {
	Config
	account string
	mesh    *mesh.Mesh
	stores  *state.Stores
	// maxBody is the largest message that NATS accepts, in bytes.
	maxBody int
	pool    *pgxpool.Pool
	// readAttributes are those of spans about reads of the catalog.
	readAttributes []attribute.KeyValue
	queries        *config.Mapping
	validate       *validation.Validator
	logger         *slog.Logger
	barriers       *barriers
	captured       *capturedVersion
	turns          turns
	evictions      *evictions
	recent         recentProducts
	checks         *checkMonitor
	gate           *state.Gate
	// stripeIDs is nil if the table of Stripe's ids is switched off.
	stripeIDs *stripeIDs
	// schema is the checked mapping, with what was derived from it and the database. It is replaced when the database
	// schema changes.
	schema atomic.Pointer[schema]
	// published counts the states that this process published.
	published atomic.Uint64
	// report publishes how far the capture is.
	report *reporter
	// snapshot decides when the whole catalog is read.
	snapshot *snapshotState
	// rowsChecked reports whether the rows were checked before the first turn.
	rowsChecked bool
	// loggedWarnings has the warnings that were logged, so that each is logged once.
	loggedWarnings map[string]bool
	// rereadMu is locked while a reread command runs.
	rereadMu sync.Mutex
}

// Run ingests until ctx ends. It returns an error at once if the catalog database or NATS cannot be reached, or if the
// database settings or the mapping are wrong. The error says what to do.
func Run(ctx context.Context, cfg Config) error {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	tokens, err := auth.NewTokens(cfg.Auth, cfg.Logger)
	if err != nil {
		return err
	}
	in, err := prepare(ctx, cfg)
	if err != nil {
		return err
	}
	defer in.mesh.Close()
	defer in.pool.Close()

	cfg.HTTP.Handler = api.New(api.Config{
		Pool:         in.pool,
		Validator:    in.validate,
		WaitCaptured: in.waitCaptured,
		ReadProducts: in.readTableProducts,
		BuiltIn:      cfg.Mapping.IsBuiltIn(),
		Tokens:       tokens,
		Logger:       cfg.Logger,
	})
	cfg.HTTP.Ready = in.ready
	cfg.HTTP.Role = in.turns.role
	defer metrics.Observe(in.turns.report, metrics.IngestionActive)()

	g, ctx := errgroup.WithContext(ctx)
	runUnlessPaused := func(run func(context.Context) error) {
		g.Go(func() error { return in.gate.Run(ctx, run) })
	}
	g.Go(func() error { return in.mesh.Closed(ctx) })
	g.Go(func() error { return in.gate.Watch(ctx) })
	g.Go(func() error { return httpserver.Run(ctx, cfg.HTTP) })
	checker := in.selfChecker()
	g.Go(func() error { return checker.Run(ctx) })
	g.Go(func() error { return heartbeat.Run(ctx, in.heartbeat(checker)) })
	g.Go(func() error { return in.runReports(ctx) })
	g.Go(func() error { return in.warnInvalidRows(ctx) })
	g.Go(func() error { return in.watchLag(ctx) })
	runUnlessPaused(in.capture)
	runUnlessPaused(in.runSnapshots)
	if in.stripeIDs != nil {
		runUnlessPaused(in.stripeIDs.run)
	}
	runUnlessPaused(func(ctx context.Context) error {
		worker := mesh.Worker{
			Service:     topology.Ingestion,
			Consumer:    topology.IngestionCommand,
			Concurrency: commandConcurrency,
		}
		return mesh.Consume(ctx, in.mesh, worker, in.command)
	})
	cfg.Logger.Info("ingestion is running", "account", cfg.Account, "slot", cfg.Slot)
	return g.Wait()
}

// prepare connects, and checks everything that the service needs, before it serves anything.
func prepare(ctx context.Context, cfg Config) (*ingester, error) {
	if cfg.DatabaseURL == "" {
		return nil, errors.New(
			"DATABASE_URL is not set: give the catalog's Postgres database, like " +
				"postgres://user:password@host:5432/database")
	}
	pool, err := connect(ctx, cfg, false)
	if err != nil {
		return nil, err
	}
	in, err := prepareWith(ctx, cfg, pool)
	if err != nil {
		pool.Close()
	}
	return in, err
}

// prepareWith prepares the service with a connection pool, which the caller closes.
func prepareWith(ctx context.Context, cfg Config, pool *pgxpool.Pool) (*ingester, error) {
	queries := cfg.Mapping
	if queries.IsBuiltIn() {
		if err := prepareBuiltinTables(ctx, cfg); err != nil {
			return nil, err
		}
		queries = builtin.With(queries)
	}
	if err := prepareStripeIDs(ctx, cfg); err != nil {
		return nil, err
	}
	validator, err := validation.New()
	if err != nil {
		return nil, fmt.Errorf("set up validation: %w", err)
	}
	in := &ingester{
		Config:         cfg,
		account:        cfg.Account,
		pool:           pool,
		readAttributes: databaseAttributes(pool),
		queries:        queries,
		validate:       validator,
		logger:         cfg.Logger,
		barriers:       newBarriers(),
		captured:       &capturedVersion{},
		evictions:      newEvictions(),
		checks:         newCheckMonitor(cfg.Logger, queries.Checks),
		loggedWarnings: map[string]bool{},
	}
	// Checked before the connection to NATS, so that faults of the mapping are reported even while NATS is unreachable.
	if _, err := in.checkSchema(ctx); err != nil {
		return nil, err
	}
	if in.stripeIDs, err = in.newStripeIDs(ctx); err != nil {
		return nil, err
	}
	cfg.NATS.Account = cfg.Account
	if in.mesh, err = mesh.Connect(ctx, cfg.NATS); err != nil {
		return nil, err
	}
	in.stores = state.New(in.mesh)
	in.maxBody, in.report, in.snapshot = in.mesh.MaxBody(), newReporter(in.mesh, cfg.Account), newSnapshotState()
	err = in.bind(ctx)
	if err == nil {
		err = in.checkNewRows(ctx)
	}
	if err == nil {
		in.gate, err = in.stores.Gate(ctx, topology.Ingestion)
	}
	if err != nil {
		in.report.reportStopped(ctx, err)
		in.mesh.Close()
	}
	return in, err
}

// prepareBuiltinTables creates the built-in tables, or checks them if Migrate created them.
func prepareBuiltinTables(ctx context.Context, cfg Config) error {
	return withSetupLock(ctx, cfg.database(), func() error {
		if cfg.CheckMigrations {
			return builtin.Check(ctx, cfg.database())
		}
		return builtin.Migrate(ctx, cfg.DatabaseURL)
	})
}

// database describes how to connect to the catalog database. file is the file that url was read from, empty for none.
func database(url, file string) postgres.Database {
	return postgres.Database{URL: url, File: file, Setting: "DATABASE_URL", Application: applicationName}
}

func (c Config) database() postgres.Database {
	db := database(c.DatabaseURL, c.DatabaseURLFile)
	db.Logger = c.Logger
	return db
}

// applicationName is the name of ingestion's sessions in pg_stat_activity.
const applicationName = "driftless-ingestion"

// maxConnections is the size of the pool. A locked row can keep four writes of the API, four write-backs and a write of
// Stripe's ids waiting for 5 s. Capture and a comparison need connections meanwhile.
const maxConnections = 12

// connect opens the connection pool. It sets row_security to off unless the operator allows row security. Postgres then
// fails a query instead of hiding rows from it, and ingestion does not take hidden products for deleted. See
// https://www.postgresql.org/docs/current/runtime-config-client.html. Only a check, which changes nothing, may read a
// standby.
func connect(ctx context.Context, c Config, mayReadStandby bool) (*pgxpool.Pool, error) {
	db := c.database()
	cfg, err := db.PoolConfig()
	if err != nil {
		return nil, err
	}
	cfg.MaxConns = maxConnections
	// Postgres keeps a generic plan for the life of the connection, even if the tables were small when it was made. A
	// generic plan compares an array of ids one by one, and a custom plan hashes them: 20,000 ids took 90 s instead of
	// 5 s.
	cfg.ConnConfig.RuntimeParams["plan_cache_mode"] = "force_custom_plan"
	if !c.allowsRowSecurity() {
		cfg.ConnConfig.RuntimeParams["row_security"] = "off"
	}
	if !mayReadStandby {
		wal.RequirePrimary(&cfg.ConnConfig.Config)
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("connect to the catalog database: %w", err)
	}
	pingCtx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := pool.Ping(pingCtx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("cannot reach the catalog database at %s: %w; start it, or correct DATABASE_URL",
			redact.URL(db.URL), db.Explain(err))
	}
	if err := postgres.CheckEncoding(pingCtx, pool); err != nil {
		pool.Close()
		return nil, fmt.Errorf("the catalog database: %w", err)
	}
	return pool, nil
}

func (c Config) allowsRowSecurity() bool {
	return c.Mapping != nil && c.Mapping.RowSecurity == config.RowSecurityAllow
}

// currentSchema returns the mapping as it is in the database, with everything that is derived from it.
func (in *ingester) currentSchema() *schema { return in.schema.Load() }

// writer returns the writer of the current schema.
func (in *ingester) writer() *writeback.Writer { return in.currentSchema().writer }

// ready returns an error if the replica cannot do its work. A standby is ready: it serves the API. If it were not, a
// rolling update would never end: it would wait for the new replica to become the leader, and the new replica would
// wait for the old one to stop.
func (in *ingester) ready(ctx context.Context) error {
	if err := in.mesh.Ready(ctx); err != nil {
		return err
	}
	if in.turns.role() == "" && !in.gate.Paused() {
		if problem := in.report.stopReason(); problem != "" {
			return errors.New("the write-ahead log is not being read: " + problem)
		}
		return errors.New("the write-ahead log is not being read")
	}
	if problem := in.snapshot.lastFailure(); problem != "" && in.turns.current() != nil {
		return errors.New(problem)
	}
	return nil
}
