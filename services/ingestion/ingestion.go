// Package ingestion is the service between the catalog database and CATALOG: it captures committed changes from the
// write-ahead log, compares the tables with CATALOG when it must and now and then, writes back what Stripe has of a
// product when it is told to, and serves the API that writes the built-in tables.
//
// It alone touches the catalog database. It holds no Stripe key, and decides nothing about Stripe but whether a product
// could be accepted there.
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
	"golang.org/x/sync/errgroup"

	"github.com/driftless-sync/driftless/services/ingestion/internal/api"
	"github.com/driftless-sync/driftless/services/ingestion/internal/builtin"
	"github.com/driftless-sync/driftless/services/ingestion/internal/validation"
	"github.com/driftless-sync/driftless/services/ingestion/internal/writeback"
	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/httpserver"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/metrics"
	"github.com/driftless-sync/driftless/services/internal/postgres"
	"github.com/driftless-sync/driftless/services/internal/redact"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// Config of the service.
type Config struct {
	// Account is the name of the Stripe account in subjects.
	Account string
	NATS    mesh.Config
	// DatabaseURL of the catalog. DatabaseURLFile is the file that it was read from, empty for none: user and password
	// are read from it at every connection.
	DatabaseURL, DatabaseURLFile string
	// Mapping of the operator's own tables; nil for the built-in ones, which are then made if absent.
	Mapping *config.Mapping
	// Slot and Publication in the catalog database; made if absent.
	Slot, Publication string
	// AcceptDatabase is the system identifier of a Postgres server that takes the place of the one that was captured
	// before.
	AcceptDatabase string
	// CheckMigrations has the built-in tables checked instead of made: Migrate made them.
	CheckMigrations bool
	// HTTP serves the API, health and metrics.
	HTTP httpserver.Config
	// Token that the API asks for; none if empty.
	Token  string
	Logger *slog.Logger
}

// ingester holds what the parts of the service share.
type ingester struct {
	Config
	account string
	mesh    *mesh.Mesh
	// maxBody is what NATS takes in a message, in bytes.
	maxBody  int
	pool     *pgxpool.Pool
	queries  *config.Mapping
	validate *validation.Validator
	logger   *slog.Logger
	barriers *barriers
	progress *progress
	turns    turns
	crowd    *crowd
	lately   lately
	gate     *mesh.Gate
	// schema is the checked mapping with what it needs of the database. It is replaced when the schema changes.
	schema atomic.Pointer[schema]
	// report is what others learn about the capture.
	report *reporter
	// whole has the whole catalog read when that is wanted.
	whole *wholeReading
	// inspected: the rows were looked at before the first turn.
	inspected bool
	// warned are the warnings that were logged.
	warned map[string]bool
	// backfilling is held while a command to read products again is carried out.
	backfilling sync.Mutex
}

// Run ingests until ctx ends. It returns an error at once if the catalog database, its settings, the mapping or NATS
// do not allow the work; the error says what to do about it.
func Run(ctx context.Context, cfg Config) error {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
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
		BuiltIn:      cfg.Mapping == nil,
		Token:        cfg.Token,
		Logger:       cfg.Logger,
	})
	cfg.HTTP.Ready = in.ready
	cfg.HTTP.Role = in.turns.role
	defer metrics.Observe(in.turns.report, metrics.IngestionActive)()

	g, ctx := errgroup.WithContext(ctx)
	work := func(run func(context.Context) error) {
		g.Go(func() error { return in.gate.Run(ctx, run) })
	}
	g.Go(func() error { return in.mesh.Closed(ctx) })
	g.Go(func() error { return in.gate.Watch(ctx) })
	g.Go(func() error { return httpserver.Run(ctx, cfg.HTTP) })
	g.Go(func() error { return in.keepReport(ctx) })
	g.Go(func() error { return in.warnOfData(ctx) })
	work(in.capture)
	work(in.readWhole)
	g.Go(func() error { return in.watchLag(ctx) })
	work(func(ctx context.Context) error {
		return mesh.Consume(ctx, in.mesh,
			mesh.Worker{
				Service:     topology.Ingestion,
				Consumer:    topology.IngestionCommand,
				Concurrency: commandConcurrency,
			}, in.command)
	})
	cfg.Logger.Info("ingestion is running", "account", cfg.Account, "slot", cfg.Slot)
	return g.Wait()
}

// prepare connects, and checks everything that the service needs before it serves anything.
func prepare(ctx context.Context, cfg Config) (*ingester, error) {
	if cfg.DatabaseURL == "" {
		return nil, errors.New(
			"DATABASE_URL is not set: give the catalog's Postgres database, like postgres://user:password@host:5432/database")
	}
	pool, err := connect(ctx, cfg)
	if err != nil {
		return nil, err
	}
	in, err := prepareWith(ctx, cfg, pool)
	if err != nil {
		pool.Close()
	}
	return in, err
}

func prepareWith(ctx context.Context, cfg Config, pool *pgxpool.Pool) (*ingester, error) {
	queries := cfg.Mapping
	if queries == nil {
		makeTables := builtin.Migrate
		if cfg.CheckMigrations {
			makeTables = builtin.Check
		}
		if err := alone(ctx, cfg.database(), func() error { return makeTables(ctx, cfg.DatabaseURL) }); err != nil {
			return nil, err
		}
		queries = builtin.Mapping()
	}
	validator, err := validation.New()
	if err != nil {
		return nil, fmt.Errorf("set up validation: %w", err)
	}
	in := &ingester{
		Config:   cfg,
		account:  cfg.Account,
		pool:     pool,
		queries:  queries,
		validate: validator,
		logger:   cfg.Logger,
		barriers: newBarriers(),
		progress: &progress{},
		crowd:    newCrowd(),
		warned:   map[string]bool{},
	}
	// Before NATS is asked: what is wrong with the mapping is told also while NATS is away.
	if _, err := in.look(ctx); err != nil {
		return nil, err
	}
	cfg.NATS.Account = cfg.Account
	if in.mesh, err = mesh.Connect(ctx, cfg.NATS); err != nil {
		return nil, err
	}
	in.maxBody, in.report, in.whole = in.mesh.MaxBody(), newReporter(in.mesh, cfg.Account), newWholeReading()
	if err = in.bind(ctx); err == nil {
		err = in.inspectData(ctx)
	}
	if err == nil {
		in.gate, err = in.mesh.Gate(ctx, topology.Ingestion)
	}
	if err != nil {
		in.report.stopped(ctx, err)
		in.mesh.Close()
	}
	return in, err
}

// database is the catalog's, with the file that its URL was read from; empty for none.
func database(url, file string) postgres.Database {
	return postgres.Database{URL: url, File: file, Setting: "DATABASE_URL", Application: applicationName}
}

func (c Config) database() postgres.Database {
	db := database(c.DatabaseURL, c.DatabaseURLFile)
	db.Logger = c.Logger
	return db
}

// applicationName is what ingestion's sessions are called in pg_stat_activity.
const applicationName = "driftless-ingestion"

// connect opens the pool of connections. Row security is switched off unless the operator says that it hides nothing: a
// query from which it would hide rows fails then, where it would take products for deleted (see row_security in
// https://www.postgresql.org/docs/current/runtime-config-client.html).
func connect(ctx context.Context, c Config) (*pgxpool.Pool, error) {
	db := c.database()
	cfg, err := db.PoolConfig()
	if err != nil {
		return nil, err //nolint:wrapcheck // names the setting
	}
	cfg.MaxConns = 8
	// Postgres keeps a generic plan as long as the connection lives, also one from when the tables were small. It
	// compares an array of ids one by one, where a plan of its own hashes them: 20,000 ids took 90 s instead of 5 s.
	cfg.ConnConfig.RuntimeParams["plan_cache_mode"] = "force_custom_plan"
	if !c.allowsRowSecurity() {
		cfg.ConnConfig.RuntimeParams["row_security"] = "off"
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

// schema is the mapping as it is in the database, with everything that is derived from it.
func (in *ingester) tables() *schema { return in.schema.Load() }

// writer of the present schema.
func (in *ingester) writer() *writeback.Writer { return in.tables().writer }

// ready says why the replica can do nothing now. A standby is ready: its API writes to the database, and a rolling
// update that waited for it to read the log would wait for the one before it to end.
func (in *ingester) ready(ctx context.Context) error {
	if err := in.mesh.Ready(ctx); err != nil {
		return err
	}
	if in.turns.role() == "" && !in.gate.Paused() {
		if trouble := in.report.trouble(); trouble != "" {
			return errors.New("the write-ahead log is not being read: " + trouble)
		}
		return errors.New("the write-ahead log is not being read")
	}
	if trouble := in.whole.trouble(); trouble != "" && in.turns.mine() != nil {
		return errors.New(trouble)
	}
	return nil
}
